"""One training run: epochs, the best weights, early stop, and going on from where it was interrupted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from features.contract import InputError
from features.encoder import Encoder
from gradops import MultiTaskOptimizer
from gradops.methods import parse
from gradops.rotation import Rotation, Rotations
from models.embedding import TorchRecEmbedding
from models.fused_embedding import FusedEmbedding
from models.shared_bottom import Embedding, SharedBottom
from models.table_optimizers import TABLE_OPTIMIZERS
from pipeline.batches import Batches
from pipeline.checkpoint import Checkpoints
from pipeline.config import ModelConfig, RunConfig
from pipeline.interruption import uninterrupted
from pipeline.job import EpochSoFar, Job
from pipeline.optimizers import optimizer_of
from pipeline.prepared import Prepared
from pipeline.runs import Epoch, Run, checkpoints_of, depends_on, find, folder_of
from pipeline.train_config import TrainConfig

_EVALUATION_BATCH = 8192


def train(config: RunConfig, prepared: Prepared, on_epoch: Callable[[Epoch], None] = lambda _: None) -> Run:
    """Train one model and keep its best epoch by mean validation AUC.

    The same config and data give the same weights on one machine: initialisation, batch order, dropout and the method's
    randomness each have a generator of their own, all started from ``train.seed``. A run that was interrupted goes on
    from its newest checkpoint and ends as it would have ended. Ctrl-C and SIGTERM arrive once the present step is
    done and saved.

    Args:
        config: What to train.
        prepared: What to train on.
        on_epoch: Called after each epoch; where a run goes on, first for each epoch that it had finished before.

    Returns:
        The finished run, written to its folder.

    Raises:
        InputError: If losses or outputs are no longer finite, the device is not there, or a checkpoint is of another
            run or cannot be written. The last whole checkpoint is kept then.
    """
    torch.set_num_threads(config.train.threads)
    checkpoints = _checkpoints(config, prepared)
    with torch.random.fork_rng(devices=[]), checkpoints.alone():
        if (finished := find(config, prepared)) is not None:  # by another process, while this one waited for its turn
            for epoch in finished.history:
                on_epoch(epoch)
            return finished
        torch.manual_seed(config.train.seed)  # dropout draws from the global generator
        job = job_of(config, prepared)
        _resume(job, checkpoints)
        for epoch in job.history:
            on_epoch(epoch)
        with uninterrupted(patient=True) as interruptions:
            keeper = _Keeper(job, checkpoints, interruptions)
            while not job.is_over:
                on_epoch(job.epoch(keeper.rest))
                keeper.end_of_epoch()
            run = _finished(job, config, prepared, keeper.rest)
            checkpoints.remove()
        return run


def tidy(config: RunConfig, prepared: Prepared) -> None:
    """Remove the checkpoints of a run that nobody goes on with: given up, or finished and killed before it did so."""
    checkpoints = _checkpoints(config, prepared)
    if checkpoints.folder.exists():
        with checkpoints.alone():
            checkpoints.remove()


@dataclass
class _Keeper:
    """Saves a job as it goes, and ends it where the process is to end.

    Args:
        job: The job.
        checkpoints: Where it is saved.
        interruptions: The signals that have arrived.
    """

    job: Job
    checkpoints: Checkpoints
    interruptions: Sequence[int]

    def __post_init__(self) -> None:
        self._every, self._saved = self.job.config.checkpoint_every, self.job.step

    def rest(self) -> None:
        """Between two steps, or two batches of an evaluation."""
        if self.interruptions or (self._every and self.job.step % self._every == 0):
            self._save()
        if self.interruptions:
            raise KeyboardInterrupt

    def end_of_epoch(self) -> None:
        """After a validation."""
        if not self._every:
            self._save()

    def _save(self) -> None:
        if self.job.step != self._saved:
            self.checkpoints.save(self.job.step, self.job.state_dict())
            self._saved = self.job.step


def _checkpoints(config: RunConfig, prepared: Prepared) -> Checkpoints:
    return Checkpoints(checkpoints_of(config, prepared), depends_on(config, prepared), config.train.keep_checkpoints)


def _resume(job: Job, checkpoints: Checkpoints) -> None:
    state = checkpoints.newest()
    if state is not None:
        job.load_state_dict(state)


def _finished(job: Job, config: RunConfig, prepared: Prepared, rest: Callable[[], None]) -> Run:
    """The run of the job's best epoch, written to its folder."""
    job.model.load_state_dict(job.best)
    run = Run(
        folder=folder_of(config, prepared),
        tasks=job.tasks,
        method=config.train.method,
        seed=config.train.seed,
        best_epoch=job.best_epoch.number,
        val=job.best_epoch.val,
        test=job.evaluate("test", rest),
        history=job.history,
    )
    return run.save(config, {k: v.cpu().contiguous() for k, v in job.model.plain_state().items()})


def build_model(
    encoder: Encoder,
    tasks: Sequence[str],
    config: ModelConfig,
    seed: int,
    rotations: Rotations | None = None,
    *,
    table_kernel: str = "plain",
    table_optimizer: str = "adam",
) -> SharedBottom:
    """The network to train, initialised from a seed; its towers read through rotations, if there are some.

    Its tables are held as ``table_kernel`` says, ready for ``table_optimizer``.

    Raises:
        InputError: If the kernel cannot hold one of the tables.
    """
    model = SharedBottom(
        _embedding(encoder, table_kernel, table_optimizer),
        values=len(encoder.spec.value_features),
        tasks=len(tasks),
        bottom=config.bottom,
        tower=config.tower,
        dropout=config.dropout,
        head_transform=rotations,
    )
    model.initialise(torch.Generator().manual_seed(seed), config.embedding_std)
    return model


def _embedding(encoder: Encoder, kernel: str, optimizer: str) -> Embedding:
    if kernel == "fused":
        return FusedEmbedding(encoder.tables(), optimizer)
    sparse = TABLE_OPTIMIZERS[optimizer] is not None
    return TorchRecEmbedding(encoder.tables(), weighted=encoder.spec.weighted, sparse=sparse)


def job_of(config: RunConfig, prepared: Prepared) -> Job:
    """A run before its first step."""
    train, encoder, tasks = config.train, prepared.encoder(), list(config.tasks)
    device = _device(train.device)
    sizes = {"train": train.batch_size, "val": _EVALUATION_BATCH, "test": _EVALUATION_BATCH}
    splits = {
        name: Batches(prepared.folder / name, encoder.spec, tasks, batch_size=size, seed=train.seed)
        for name, size in sizes.items()
    }
    method = parse(train.method)
    rotations = _rotations(method.rotation, len(tasks), config.model.bottom[-1], device)
    model = build_model(
        encoder,
        tasks,
        config.model,
        train.seed,
        rotations,
        table_kernel=train.table_kernel,
        table_optimizer=train.table_optimizer,
    ).to(device)
    optimizer = MultiTaskOptimizer(
        optimizer_of(model, train),
        method,
        shared=model.shared_parameters(),
        gauge=train.gauge,
        rotations=rotations,
        seed=train.seed,
    )
    schedule = _schedule(optimizer, train, len(splits["train"]))
    weight_T = torch.tensor([config.spec.tasks[task].weight for task in tasks], device=device)
    return Job(train, tasks, device, model, optimizer, schedule, splits, weight_T, EpochSoFar.of(len(tasks)))


def _rotations(rotation: Rotation | None, tasks: int, width: int, device: torch.device) -> Rotations | None:
    # On its device before the optimizer sees it: a leader holds the tensors that it found.
    return None if rotation is None else Rotations(rotation, tasks=tasks, width=width).to(device)


def _device(name: str) -> torch.device:
    """The device of a config, if this machine has it."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"`train.device = {name}` cannot be used here ({reason}); see `gradops doctor`") from None
    return torch.device(name)


def _schedule(optimizer: MultiTaskOptimizer, config: TrainConfig, steps_per_epoch: int) -> LRScheduler:
    steps = config.epochs * steps_per_epoch
    total = min(steps, config.max_steps or steps)
    return LambdaLR(optimizer, partial(one_cycle, total=total) if config.schedule == "one_cycle" else lambda _: 1.0)


def one_cycle(step: int, total: int) -> float:
    """Share of the highest rate: along a cosine from 4 % up to 1 over the first fifth of the steps, then down to 0."""
    up = total / 5
    if step < up:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * step / up)) / 2
    return (1 + math.cos(math.pi * (step - up) / (total - up))) / 2
