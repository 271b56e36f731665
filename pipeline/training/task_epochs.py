"""Each task at its own best epoch: tasks that leave the training, and the weights of each task's best epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.autograd import grad

from features.errors import InputError
from gradops.base import GramianMethod
from gradops.methods import parse
from models.architectures.base import Architecture
from pipeline.config.train import TrainConfig
from pipeline.evaluation.selection import Selection
from pipeline.runs.run import Epoch

_ROWS = 256  # from which the ways from losses to parameters are found


@dataclass
class TaskEpochs:
    """What is known of each task's best epoch, by the metric of ``train.select_by`` on its own validation rows.

    With ``train.task_patience`` a task stops once that number of epochs has not been better than its best one. It then
    leaves the surgery, as if the run had never had it: the method goes on with the other tasks from a new state. The
    task's own parameters go back to its best epoch and stay. So do shared parameters that no loss reaches any more.

    Args:
        config: The section ``[train]``.
        tasks: The names of the tasks.
        reach: For each trained parameter by name, the places of the tasks whose losses reach it; empty if no task can
            stop.
        own: For each task, the names of the parameters that are its own.
        weights: Task to the weights after its best epoch so far: all of them with ``train.task_snapshots``, or those of
            its own parameters.
    """

    config: TrainConfig
    tasks: Sequence[str]
    reach: Mapping[str, frozenset[int]] = field(default_factory=dict)
    own: Sequence[frozenset[str]] = ()
    weights: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Architecture, config: TrainConfig, tasks: Sequence[str], values: int) -> TaskEpochs:
        """Those of a run before its first step.

        Args:
            model: The network, on its device.
            config: The section ``[train]``.
            tasks: The names of the tasks.
            values: Number of numeric values, V.

        Raises:
            InputError: If tasks are to stop, and the method is for this number of tasks alone or tasks have tables of
                their own.
        """
        if not config.task_patience:
            return cls(config, tasks)
        _check_method(config.method, len(tasks))
        if model.own_tables:
            raise InputError(
                "`train.task_patience` lets tasks go back to their best epochs, and tables of a task's own stay as "
                "they are: set it to 0, and `train.task_snapshots = true` to keep each task's best epoch"
            )
        reach = _reach(model, len(tasks), values)
        shared = {id(parameter) for parameter in model.shared_parameters()}
        names = {name for name, parameter in model.named_parameters() if id(parameter) not in shared}
        own = [frozenset(n for n in names if reach.get(n) == frozenset({place})) for place in range(len(tasks))]
        return cls(config, tasks, reach, own)

    def best(self, history: Sequence[Epoch], task: str) -> Epoch:
        """The task's best epoch until it stopped, the first of several."""
        selection, best = Selection(self.config.selection.metric), history[0]
        for epoch in history:
            if self._has_waited(epoch, best):
                break
            if selection.score({task: epoch.val[task]}) > selection.score({task: best.val[task]}):
                best = epoch
        return best

    def active(self, history: Sequence[Epoch]) -> list[int]:
        """The places of the tasks that have not stopped after these epochs, in order."""
        places = range(len(self.tasks))
        if not self.config.task_patience or not history:
            return list(places)
        last = history[-1]
        return [p for p in places if not self._is_over(last, self.best(history, self.tasks[p]))]

    def keep(self, history: Sequence[Epoch], state: Callable[[], Mapping[str, Tensor]]) -> None:
        """Keep the present weights for the tasks of which the newest epoch is the best.

        Args:
            history: The epochs so far.
            state: The present weights.
        """
        if not self.config.task_patience and not self.config.task_snapshots:
            return
        for place, task in enumerate(self.tasks):
            if self.best(history, task) is history[-1]:
                is_whole = self.config.task_snapshots
                kept = {n: v.clone() for n, v in state().items() if is_whole or n in self.own[place]}
                self.weights[task] = kept

    @torch.no_grad()
    def stop(self, model: Architecture, active: Sequence[int]) -> dict[str, Tensor]:
        """Freeze what belongs to no active task, and return the weights that stopped tasks go back to, by name."""
        left, gone = {*active}, [p for p in range(len(self.tasks)) if p not in active]
        for name, parameter in model.named_parameters():
            if name in self.reach and not self.reach[name] & left:
                parameter.requires_grad_(False)  # torch's own signature
        return {name: self.weights[self.tasks[place]][name] for place in gone for name in self.own[place]}

    def _has_waited(self, epoch: Epoch, best: Epoch) -> bool:
        """Whether the task had stopped before an epoch."""
        return bool(self.config.task_patience) and epoch.number - best.number > self.config.task_patience

    def _is_over(self, last: Epoch, best: Epoch) -> bool:
        return last.number - best.number >= self.config.task_patience


def _reach(model: Architecture, tasks: int, values: int) -> dict[str, frozenset[int]]:
    """For each parameter above the tables, the places of the tasks whose logits move with it, found by gradients.

    A gradient of exactly 0 in all rows says that there is no way: logits are joined in one tensor, through which
    autograd hands zeros to every task's layers. Rows are drawn, so that no layer's units are all at rest.
    """
    named = {n: p for n, p in model.named_parameters() if not n.startswith("embedding.") and p.requires_grad}
    device, generator = next(iter(named.values())).device, torch.Generator().manual_seed(0)
    drawn = [torch.randn(_ROWS, n, generator=generator) for n in (sum(model.embedding.layout.widths), values)]
    model.eval()  # dropout would draw
    pooled_BE, value_BV = (part.to(device) for part in drawn)
    logits, _ = model.through(pooled_BE.requires_grad_(), value_BV)
    reached: dict[str, set[int]] = {name: set() for name in named}
    for place in range(tasks):
        found = grad(logits[..., place].sum(), [*named.values()], retain_graph=True, allow_unused=True)
        for name, gradient in zip(named, found, strict=True):
            if gradient is not None and gradient.any():
                reached[name].add(place)
    return {name: frozenset(places) for name, places in reached.items()}


def _check_method(text: str, tasks: int) -> None:
    method, fix = parse(text), "choose another method, or `train.task_patience = 0`"
    if method.rotation is not None:
        raise InputError(f"`train.task_patience` lets tasks leave, and `{text}` has a rotation for each: {fix}")
    for left in range(1, tasks):
        try:
            state = method.start(left, torch.Generator())
            if isinstance(method, GramianMethod):
                method.step(torch.eye(left), torch.ones(left), state)
        except ValueError as error:
            raise InputError(f"`train.task_patience` may leave {left} task(s), and `{text}`: {error} {fix}") from None
