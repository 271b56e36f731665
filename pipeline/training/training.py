"""Trains one run: epochs, the best weights, early stop, and resuming after an interruption."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradops.group import Alone, Group
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.changed_defaults import run_of_before
from pipeline.runs.run import WEIGHTS, Epoch, Run, checkpoints_of, depends_on, find_run, run_folder
from pipeline.runtime.allocator import keep_freed_memory
from pipeline.runtime.signals import uninterrupted
from pipeline.training.build import EVALUATION_BATCH, device_of, trainer_of
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.checkpoint_writer import CheckpointWriter, checkpoint_writer
from pipeline.training.distributed import once
from pipeline.training.evaluations import Calibrators
from pipeline.training.generators import generator_seed
from pipeline.training.trainer import Trainer

_log = logging.getLogger(__name__)


def train(
    config: RunConfig,
    prepared: Prepared,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    group: Group = Alone(),
    evaluation_batch: int = EVALUATION_BATCH,
) -> Run:
    """Train one model and keep its best epoch by the validation metric that ``train.select_by`` names.

    The same config and data give the same weights on one machine: initialisation, batch order, dropout and the method's
    randomness each have their own generator, all seeded from ``train.seed``. A run that was interrupted goes on
    from its newest checkpoint and ends as it would have ended. Ctrl-C and SIGTERM arrive once the present step is
    done and saved.

    Args:
        config: The config of the run.
        prepared: The data.
        on_epoch: Called after each epoch; a resumed run first calls it for each epoch that it had finished before.
        group: The ranks that train together, each of which calls this. They share the run's folder. Another number of
            ranks can resume it: batches have the same rows, only dropout and rounding differ.
        evaluation_batch: Rows that are evaluated at a time.

    Returns:
        The finished run, written to its folder.

    Raises:
        InputError: If losses or outputs are no longer finite, the device is missing, ranks would share tables that are
            not fused, or a checkpoint is of another run or cannot be written. The last whole checkpoint is kept then. A
            checkpoint that is written behind the steps ends the run at the step after its failure.
    """
    torch.set_num_threads(config.train.threads)
    keep_freed_memory()
    checkpoints, device = _checkpoints(config, prepared, group), device_of(config.train.device)
    # Dropout on CUDA draws from a generator of the device's own.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), checkpoints.alone():
        finished = once(lambda: find_run(config, prepared), group)
        if finished is not None:  # by another process, while this one waited for the lock
            for epoch in finished.history:
                on_epoch(epoch)
            return finished
        if group.rank == 0 and (sentence := run_of_before(config, prepared)):
            _log.warning(sentence)
        # Dropout draws from the global generator.
        torch.manual_seed(generator_seed(config.train.seed, group.rank))
        trainer = trainer_of(config, prepared, group, evaluation_batch)
        _resume(trainer, checkpoints)
        for epoch in trainer.history:
            on_epoch(epoch)
        with uninterrupted(patient=True) as interruptions:
            with checkpoint_writer(checkpoints, behind=config.train.async_checkpoints) as writer:
                trainer.is_told = lambda: bool(interruptions) or writer.failure is not None
                hook = _CheckpointHook(trainer, writer)
                while not trainer.is_over:
                    on_epoch(trainer.epoch(hook.on_step))
                    hook.end_of_epoch()
                run = _finished(trainer, config, prepared, hook.on_step)
            checkpoints.remove()
        return run


def remove_checkpoints(config: RunConfig, prepared: Prepared) -> None:
    """Remove the checkpoints of a run that will not resume: pruned, or killed between its end and their removal."""
    checkpoints = _checkpoints(config, prepared)
    if checkpoints.folder.exists():
        with checkpoints.alone():
            checkpoints.remove()


@dataclass
class _CheckpointHook:
    """Saves a trainer at intervals, and ends the run after an interruption, or if a checkpoint has failed.

    Args:
        trainer: The trainer.
        writer: Writes the run's checkpoints.
    """

    trainer: Trainer
    writer: CheckpointWriter

    def __post_init__(self) -> None:
        self._every, self._saved = self.trainer.config.checkpoint_every, self.trainer.step

    def on_step(self) -> None:
        """Save or end if due; called after each step and each batch of an evaluation."""
        if self.trainer.is_interrupted:
            self._save()
            self.writer.wait()
            raise KeyboardInterrupt
        if self._every and self.trainer.step % self._every == 0:
            self._save()

    def end_of_epoch(self) -> None:
        """Save if due; called after each validation."""
        if not self._every:
            self._save()

    def _save(self) -> None:
        if self.trainer.step != self._saved:
            self.writer.save(self.trainer.step, self.trainer.state_dict(), self.trainer.UNCHANGED)
            self._saved = self.trainer.step


def _checkpoints(config: RunConfig, prepared: Prepared, group: Group = Alone()) -> Checkpoints:
    folder, run = checkpoints_of(config, prepared), depends_on(config, prepared)
    return Checkpoints(folder, run, config.train.keep_checkpoints, group)


def _resume(trainer: Trainer, checkpoints: Checkpoints) -> None:
    def like() -> dict[str, Any]:
        state = trainer.model.state_dict()
        return trainer.state_dict() | {"best": state, "task_weights": dict.fromkeys(trainer.tasks, state)}

    state = checkpoints.newest(like=like)
    if state is not None:
        trainer.load_state_dict(state)


def _finished(trainer: Trainer, config: RunConfig, prepared: Prepared, on_step: Callable[[], None]) -> Run:
    """The run of the trainer's best epoch, or of each task's own, written to its folder."""
    best, snapshots = trainer.best_epoch.number, trainer.config.task_snapshots
    served = {t: trainer.task_epochs.best(trainer.history, t).number if snapshots else best for t in trainer.tasks}
    judged: dict[str, _Judged] = {}
    others: dict[int, dict[str, Tensor]] = {}
    for number in sorted({*served.values()}):
        tasks = [task for task in trainer.tasks if served[task] == number]
        trainer.model.load_state_dict(trainer.best if number == best else trainer.task_epochs.weights[tasks[0]])
        found = _judged(trainer, number, on_step)
        judged |= {task: found[task] for task in tasks}
        others |= {} if number == best else {number: _plain_weights(trainer)}
    trainer.model.load_state_dict(trainer.best)
    is_calibrated = config.train.calibration != "none"
    run = Run(
        folder=run_folder(config, prepared),
        tasks=trainer.tasks,
        method=config.train.method,
        seed=config.train.seed,
        best_epoch=best,
        val={task: judged[task].metrics["val"] for task in trainer.tasks},
        test={task: judged[task].metrics["test"] for task in trainer.tasks},
        history=trainer.history,
        features=prepared.features,
        calibration={t: judged[t].calibrator for t in trainer.tasks} if is_calibrated else {},
        uncalibrated={
            split: {task: judged[task].uncalibrated[split] for task in trainer.tasks}
            for split in (("val", "test") if is_calibrated else ())
        },
        snapshots=served if snapshots else {},
    )
    weights, placement = _plain_weights(trainer), trainer.model.embedding.placement()
    return once(lambda: run.save(config, WEIGHTS, weights, placement, others), trainer.group)


@dataclass(frozen=True)
class _Judged:
    """One task of the network at one epoch.

    Args:
        metrics: Split to the task's metrics.
        uncalibrated: The same without the calibrator.
        calibrator: The calibrator in JSON's types; empty for none.
    """

    metrics: dict[str, dict[str, float]]
    uncalibrated: dict[str, dict[str, float]]
    calibrator: dict[str, Any]


def _judged(trainer: Trainer, number: int, on_step: Callable[[], None]) -> dict[str, _Judged]:
    """Every task of the network with its present weights, which are those after an epoch."""
    evaluations = trainer.evaluations
    calibrators = evaluations.calibrators(trainer.config.calibration, on_step)
    versions: list[Calibrators] = [(), calibrators] if calibrators else [()]
    # Without calibrators the validation rows have been measured at the end of the epoch.
    val = evaluations.metrics("val", versions, on_step) if calibrators else [trainer.history[number].val]
    test = evaluations.metrics("test", versions, on_step)
    content = [calibrator.model_dump(mode="json") for calibrator in calibrators] or [{} for _ in trainer.tasks]
    return {
        task: _Judged(
            {"val": val[-1][task], "test": test[-1][task]}, {"val": val[0][task], "test": test[0][task]}, calibrator
        )
        for task, calibrator in zip(trainer.tasks, content, strict=True)
    }


def _plain_weights(trainer: Trainer) -> dict[str, Tensor]:
    """The present weights in the form that is served."""
    state = trainer.ids.settled(trainer.model.plain_state())
    # A copy of each: the next weights are loaded into the same memory.
    return {name: value.cpu().clone(memory_format=torch.contiguous_format) for name, value in state.items()}
