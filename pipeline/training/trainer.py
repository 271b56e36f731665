"""Trains one run: a step, an epoch, and the state between two steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from features.errors import InputError
from gradops import Microbatch, MultiTaskOptimizer
from gradops.group import Alone, Group, total
from gradops.precision import products_in
from models.architectures.base import Architecture
from models.embedding.cut import TableCut
from models.loss import cross_entropy, label_weights, shares_of
from pipeline.config.train import TrainConfig
from pipeline.data.batches import Batches
from pipeline.data.windows import Batch
from pipeline.runs.run import Epoch, Metrics
from pipeline.training import generators
from pipeline.training.batch_header import BatchHeader
from pipeline.training.epoch_so_far import EpochSoFar
from pipeline.training.evaluations import Evaluations
from pipeline.training.expert_use import ExpertUse
from pipeline.training.known_ids import KnownIds
from pipeline.training.late_losses import StepLosses
from pipeline.training.negatives import NegativeSampling
from pipeline.training.schedules import Regularisation
from pipeline.training.task_epochs import TaskEpochs
from pipeline.training.weight_average import WeightAverage


class DivergedError(InputError):
    """Losses or outputs are no longer finite. A search goes on at another point."""


@dataclass
class Trainer:
    """The state of one run while it trains, and its steps.

    Args:
        config: The section ``[train]``.
        tasks: The names of the tasks.
        device: The model's device.
        model: The network.
        optimizer: The optimizer of the network and its tables.
        schedule: The schedule of the optimizer's rate.
        splits: The batches of each split.
        weight_T: Factor of each task's loss.
        average: The moving average of the weights; evaluation uses it, if the config has one.
        regularisation: Dropout and weight decay at each step.
        ids: The ids that the run knows.
        sampling: The share of the training rows without a positive label that are in the batches.
        task_epochs: Each task's best epoch, and the tasks that stop there.
        group: The ranks that train together. All have the same losses and metrics, and stop at the same step.
        is_told: Returns whether this process has been told to end: by a signal, or by a checkpoint that failed.
        step: Number of steps done.
        present: The unfinished epoch.
        history: The finished epochs.
        best: The weights after the best finished epoch; empty before the first.
    """

    # Entries of the state whose tensors are replaced by others, and never changed.
    UNCHANGED: ClassVar[tuple[str, ...]] = ("best", "task_weights")

    config: TrainConfig
    tasks: list[str]
    device: torch.device
    model: Architecture
    optimizer: MultiTaskOptimizer
    schedule: LRScheduler
    splits: dict[str, Batches]
    weight_T: Tensor
    present: EpochSoFar
    average: WeightAverage
    regularisation: Regularisation
    ids: KnownIds
    sampling: NegativeSampling
    task_epochs: TaskEpochs
    group: Group = Alone()
    is_told: Callable[[], bool] = lambda: False
    step: int = 0
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    _unseen: StepLosses | None = field(default=None, init=False)  # of the last step
    _heard: bool = field(default=False, init=False)  # of an interruption on any rank

    @property
    def evaluations(self) -> Evaluations:
        """Evaluations of the present weights on this run's splits."""
        return Evaluations(self.model, self.tasks, self.splits, self.ids, self.device, self.group, self._agree)

    @property
    def is_interrupted(self) -> bool:
        """Whether this process has been told to end; among ranks, whether all of them know that any has been told.

        Ranks tell each other at the beginning of a step and in an evaluation, after each batch.
        """
        return self._heard if self.group.size > 1 else self.is_told()

    @property
    def best_epoch(self) -> Epoch:
        """The best epoch by ``train.select_by`` on the validation rows, the first of several."""
        return max(self.history, key=lambda epoch: (self.config.selection.score(epoch.val), -epoch.number))

    @property
    def is_over(self) -> bool:
        """Whether training is over."""
        if not self.history:
            return False
        limit, patience = self.config.max_steps, self.config.patience
        waited = self.history[-1].number - self.best_epoch.number
        out_of_steps = (bool(limit) and self.step >= limit) or not self.active
        return len(self.history) >= self.config.epochs or out_of_steps or (patience > 0 and waited >= patience)

    @property
    def active(self) -> list[int]:
        """The places of the tasks that have not stopped, in order."""
        return self.task_epochs.active(self.history)

    def epoch(self, on_step: Callable[[], None] = lambda: None) -> Epoch:
        """Train on the remaining rows of the present epoch, then validate.

        Args:
            on_step: Called whenever the state is consistent: after each step, and after each batch of the validation.

        Raises:
            InputError: If losses or outputs are no longer finite.
        """
        self.model.train()
        present, started = self.present, time.perf_counter() - self.present.seconds
        for batch in self._left():
            self.take_step(batch)
            present.steps += 1
            present.seconds = time.perf_counter() - started
            on_step()
        self._look_at_losses()
        active = self.active
        # Comparable for any weights of tasks.
        mean_T = present.losses_T / (present.steps * self.weight_T[active].cpu())
        losses = dict(zip([self.tasks[place] for place in active], mean_T.tolist(), strict=True))
        number, lr = len(self.history), float(self.schedule.get_last_lr()[0])
        with self.average.used():
            # An interruption saves the weights themselves.
            val = self.evaluate("val", partial(self.average.around, on_step))
            self.history.append(Epoch(number, self.step, present.seconds, lr, losses, val, present.diagnostics))
            self.present = EpochSoFar.of(len(self.active))
            if self.best_epoch is self.history[-1]:
                self.best = {name: value.clone() for name, value in self.model.state_dict().items()}
            self.task_epochs.keep(self.history, self.model.state_dict)
        if self.active != active:
            self._leave(restored=True)
        return self.history[-1]

    def _leave(self, *, restored: bool) -> None:
        """Go on without the tasks that have stopped.

        Args:
            restored: Whether their own parameters go back to the tasks' best epochs; a checkpoint has them there.
        """
        back = self.task_epochs.stop(self.model, self.active)
        if restored:
            named = dict(self.model.named_parameters())
            with torch.no_grad():
                for name, value in back.items():
                    named[name].copy_(value)
            self.average.hold(back)
        self.optimizer.restart()

    def evaluate(self, split: str, on_step: Callable[[], None] = lambda: None) -> Metrics:
        """Metrics of the network's present weights on a split of any size; ``on_step`` is called after each batch."""
        (metrics,) = self.evaluations.metrics(split, [()], on_step)
        return metrics

    def _agree(self, lost: bool) -> None:
        """Hear the other ranks after a batch of an evaluation, and end where one has outputs that are no numbers."""
        if self.group.size > 1:
            told = torch.tensor([lost, self.is_told()], dtype=torch.int64, device=self.device)
            lost, self._heard = (number > 0 for number in self.group.sum([told])[0].tolist())
        if lost:
            raise _diverged(self.step)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, and the results so far.

        Raises:
            InputError: If weights are no longer finite, since such a state is useless.
        """
        self.average.put_back()
        self._look_at_losses()
        lost = sum(not _is_finite(parameter) for parameter in self.model.parameters())
        if total(lost, self.group, self.device):
            raise _diverged(self.step)
        state = {name: getattr(self, name).state_dict() for name in ("model", "optimizer", "schedule", "average")}
        history = [asdict(epoch) for epoch in self.history]
        present = {name: getattr(self.present, name) for name in ("losses_T", "steps", "seconds", "diagnostics")}
        beside = {"step": self.step, "history": history, "best": self.best, "present": present}
        if self.task_epochs.weights:
            beside["task_weights"] = self.task_epochs.weights
        return state | beside | {"random": generators.positions(self.device, self.group)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state of :meth:`state_dict`: the next step is the one that would have followed, bit by bit."""
        self.step, self.history = state["step"], [Epoch(**epoch) for epoch in state["history"]]
        self.task_epochs.weights = {
            task: {name: value.to(self.device) for name, value in weights.items()}
            for task, weights in state.get("task_weights", {}).items()
        }
        if len(self.active) < len(self.tasks):
            self._leave(restored=False)
        for name in ("model", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.average.load_state_dict(state.get("average", {}))  # checkpoints of before have none
        self.best = {name: value.to(self.device) for name, value in state["best"].items()}
        self.present = EpochSoFar(**state["present"])
        generators.restore(state["random"], self.config.seed + self.step, self.device, self.group)

    def _left(self) -> Iterator[Batch]:
        """The remaining batches of the present epoch."""
        train, done = self.splits["train"], self.present.steps
        left = len(train) - done
        if self.config.max_steps:
            left = min(left, self.config.max_steps - self.step)
        return islice(train.epoch(len(self.history), skip=done), left)

    def take_step(self, batch: Batch) -> None:
        """Take one step on this process's rows of a batch; all ranks take part."""
        read = replace(batch, bags=self.ids.dropped(batch.bags, self.step))
        self._step_on(read.to(self.device))

    def _step_on(self, batch: Batch) -> None:
        """Take one step, then look at the losses of the step before it."""
        try:
            losses_T = self._train_on(batch)
        except Exception:
            self._look_at_losses()  # a step after weights that are no numbers may fail in any way
            raise
        self._look_at_losses()
        self._unseen = StepLosses.of(self.step, losses_T)

    def _look_at_losses(self) -> None:
        """Add the losses of the last step to the epoch's, if that is still to be done."""
        unseen, self._unseen = self._unseen, None
        if unseen is None:
            return
        losses_T = unseen.arrived()
        if not losses_T.isfinite().all():
            raise _diverged(unseen.step)
        self.present.losses_T += losses_T

    def _train_on(self, batch: Batch) -> Tensor:
        """Take one step and return its losses."""
        self.regularisation.prepare(self.step)
        weight_BT = label_weights(batch.labels_BT, self.sampling.weights(batch.labels_BT, batch.weight_BT))
        entries_F = batch.bags.entries(len(self.model.shared_layout.widths)) if self.group.size > 1 else ()
        header = BatchHeader.of(weight_BT, entries_F, self.is_told(), self.group)
        self._heard, share_BT = header.interrupted, self.weight_T * shares_of(weight_BT, header.total_T)
        bags = replace(batch.bags, most_rows=header.most_rows, most_entries_F=header.most_entries_F)
        self.average.before(bags)
        cut = self.model.cut(bags)
        diagnose = self.step % self.config.diagnose_every == 0
        use = ExpertUse(self.model.expert_gates() if diagnose else {})
        tf32 = products_in("tf32") if self.config.precision == "tf32" else nullcontext()
        with use.recorded(), tf32:
            report = self.optimizer.step(self._parts(batch, cut, share_BT), pooled=cut, diagnose=diagnose)
        self.average.after()
        if diagnose:
            names = [self.tasks[place] for place in self.active]
            self.present.diagnostics[self.step] = report.scalars(names) | use.scalars(self.group)
        self.schedule.step()
        self.step += 1
        return report.losses_T

    def _parts(self, batch: Batch, cut: TableCut, share_BT: Tensor) -> Iterator[Microbatch]:
        """The batch's pass through the network, in micro-batches if declared; each is released before the next."""
        size = self.config.micro_batch or max(len(share_BT), 1)
        for start in range(0, max(len(share_BT), 1), size):  # a batch without rows is one piece
            yield self._part(batch, cut, share_BT, slice(start, start + size))

    def _part(self, batch: Batch, cut: TableCut, share_BT: Tensor, rows: slice) -> Microbatch:
        leaf_BE, own_BX = cut.piece(rows)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            logits_BT, views = self.model.through(leaf_BE, batch.value_BV[rows], own_BX)
        sampled_BT = self.sampling.logits(logits_BT.float())
        losses_T = cross_entropy(sampled_BT, batch.labels_BT[rows], share_BT[rows])
        active = self.active
        if len(active) < len(self.tasks):
            # One by one: a list of places would have to be brought to the device.
            losses_T, views = torch.stack([losses_T[p] for p in active]), tuple(views[place] for place in active)
        return Microbatch(losses_T, views, leaf_BE)


def _is_finite(values: Tensor) -> bool:
    # The ends of their range: `isfinite` of each would write as many truth values, and takes 35 times as long.
    return not values.numel() or bool(torch.stack(torch.aminmax(values.detach())).isfinite().all())


def _diverged(step: int) -> DivergedError:
    fix = "lower `train.lr`, or bound the step with `train.clip_norm`"
    return DivergedError(f"the model's outputs are no longer finite after {step} steps: {fix}")
