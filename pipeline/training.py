"""One training run: epochs, validation, the best weights, early stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from features.contract import InputError
from features.encoder import Encoder
from gradops import Microbatch, MultiTaskOptimizer, StepReport
from gradops.methods import parse
from gradops.rotation import Rotation, Rotations
from models.cut import TableCut
from models.embedding import TorchRecEmbedding
from models.fused_embedding import FusedEmbedding
from models.loss import cross_entropy, label_shares
from models.shared_bottom import Embedding, SharedBottom
from models.table_optimizers import TABLE_OPTIMIZERS
from pipeline.batches import Batches
from pipeline.config import ModelConfig, RunConfig, TrainConfig
from pipeline.metrics import Evaluator
from pipeline.optimizers import optimizer_of
from pipeline.prepared import Prepared
from pipeline.runs import Epoch, Metrics, Run, folder_of
from pipeline.windows import Batch

_EVALUATION_BATCH = 8192


def train(config: RunConfig, prepared: Prepared, on_epoch: Callable[[Epoch], None] = lambda _: None) -> Run:
    """Train one model and keep its best epoch by mean validation AUC.

    The same config and data give the same weights on one machine: initialisation, batch order, dropout and the method's
    randomness each have a generator of their own, all started from ``train.seed``.

    Args:
        config: What to train.
        prepared: What to train on.
        on_epoch: Called after each epoch.

    Returns:
        The finished run, written to its folder.

    Raises:
        InputError: If losses or outputs are no longer finite, or the device is not there. Nothing is written then.
    """
    torch.set_num_threads(config.train.threads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)  # dropout draws from the global generator
        job = _Job.build(config, prepared)
        history: list[Epoch] = []
        best: tuple[float, dict[str, Tensor]] = (-math.inf, {})
        while not _is_over(history, config.train):
            history.append(job.epoch(len(history)))
            on_epoch(history[-1])
            if history[-1].mean_auc > best[0]:
                best = history[-1].mean_auc, {k: v.clone() for k, v in job.model.state_dict().items()}
        job.model.load_state_dict(best[1])
        number = _best(history).number
        run = Run(
            folder=folder_of(config, prepared),
            tasks=list(config.tasks),
            method=config.train.method,
            seed=config.train.seed,
            best_epoch=number,
            val=history[number].val,
            test=job.evaluate("test"),
            history=history,
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


@dataclass
class _Job:
    """What one run holds while it trains."""

    config: TrainConfig
    tasks: list[str]
    device: torch.device
    model: SharedBottom
    optimizer: MultiTaskOptimizer
    schedule: LRScheduler
    splits: dict[str, Batches]
    weight_T: Tensor
    step: int = 0
    diagnostics: dict[int, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def build(cls, config: RunConfig, prepared: Prepared) -> _Job:
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
        return cls(train, tasks, device, model, optimizer, schedule, splits, weight_T)

    def epoch(self, number: int) -> Epoch:
        """Train on every row once, then validate."""
        self.model.train()
        self.diagnostics = {}
        started, losses_T, steps = time.perf_counter(), torch.zeros(len(self.tasks), dtype=torch.float64), 0
        for batch in self.splits["train"].epoch(number):
            losses_T += self._train_on(batch.to(self.device)).losses_T.cpu()
            steps += 1
            if self.step == self.config.max_steps:
                break
        losses_T /= steps * self.weight_T.cpu()  # comparable, whatever a task weighs
        losses = dict(zip(self.tasks, losses_T.tolist(), strict=True))
        if not all(math.isfinite(loss) for loss in losses.values()):
            raise _diverged(self.step)
        seconds, lr = time.perf_counter() - started, float(self.schedule.get_last_lr()[0])
        return Epoch(number, self.step, seconds, lr, losses, self.evaluate("val"), self.diagnostics)

    def evaluate(self, split: str) -> Metrics:
        """Metrics of the present weights on a split, which may be of any size."""
        self.model.eval()
        evaluator = Evaluator(self.tasks)
        with torch.no_grad():
            for batch in self.splits[split].in_order():
                probability_BT = self._logits(batch).sigmoid().cpu().numpy()
                if not np.isfinite(probability_BT).all():
                    raise _diverged(self.step)
                group_B = None if batch.group_B is None else batch.group_B.numpy()
                evaluator.update(batch.labels_BT.numpy(), probability_BT, group_B)
        return evaluator.result()

    def _logits(self, batch: Batch) -> Tensor:
        batch = batch.to(self.device)
        logits: Tensor = self.model(batch.bags, batch.value_BV)
        return logits

    def _train_on(self, batch: Batch) -> StepReport:
        cut = self.model.cut(batch.bags)
        diagnose = self.step % self.config.diagnose_every == 0
        report = self.optimizer.step(self._parts(batch, cut), pooled=cut, diagnose=diagnose)
        if diagnose:
            self.diagnostics[self.step] = report.scalars(self.tasks)
        self.schedule.step()
        self.step += 1
        return report

    def _parts(self, batch: Batch, cut: TableCut) -> Iterator[Microbatch]:
        """The batch's way through the network, in pieces if it is to be; none is held when the next is made."""
        share_BT = self.weight_T * label_shares(batch.labels_BT, batch.weight_BT)
        size = self.config.micro_batch or len(share_BT)
        for start in range(0, len(share_BT), size):
            yield self._part(batch, cut, share_BT, slice(start, start + size))

    def _part(self, batch: Batch, cut: TableCut, share_BT: Tensor, rows: slice) -> Microbatch:
        leaf_BE = cut.leaf_BE[rows].detach().requires_grad_()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            logits_BT, views = self.model.through(leaf_BE, batch.value_BV[rows])
        losses_T = cross_entropy(logits_BT.float(), batch.labels_BT[rows], share_BT[rows])
        return Microbatch(losses_T, views, leaf_BE)


def _rotations(rotation: Rotation | None, tasks: int, width: int, device: torch.device) -> Rotations | None:
    # On its device before the optimizer sees it: a leader holds the tensors that it found.
    return None if rotation is None else Rotations(rotation, tasks=tasks, width=width).to(device)


def _diverged(step: int) -> InputError:
    fix = "lower `train.lr`, or bound the step with `train.clip_norm`"
    return InputError(f"the model's outputs are no longer finite after {step} steps: {fix}")


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


def _best(history: Sequence[Epoch]) -> Epoch:
    """The first of the epochs with the highest mean validation AUC."""
    return max(history, key=lambda e: (e.mean_auc, -e.number))


def _is_over(history: Sequence[Epoch], config: TrainConfig) -> bool:
    if not history:
        return False
    waited = history[-1].number - _best(history).number
    out_of_steps = bool(config.max_steps) and history[-1].step >= config.max_steps
    return len(history) >= config.epochs or out_of_steps or (config.patience > 0 and waited >= config.patience)
