"""Progressive layered extraction: levels of experts, some of them a task's own, and gates between the levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self, cast

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from models.architectures.base import Architecture, HeadTransform, View, first_layer
from models.architectures.base_config import ArchitectureConfig
from models.embedding.base import Embedding
from models.layers.experts import BatchedLinear, Experts, Gate, mixed
from models.layers.towers import tower
from models.layers.views import views_of


class _Level(nn.Module):
    """One level: experts of each task, shared experts, a gate a task, and a gate for the next shared experts."""

    def __init__(self, width: int, tasks: int, config: PLEConfig, *, is_last: bool) -> None:
        super().__init__()
        own, shared = config.own_experts, config.shared_experts
        self.own = nn.ModuleList(Experts(width, own, config.expert, config.dropout) for _ in range(tasks))
        self.shared = Experts(width, shared, config.expert, config.dropout)
        self.gates = nn.ModuleList(Gate(width, own + shared, config.gate) for _ in range(tasks))
        self.shared_gate = None if is_last else Gate(width, tasks * own + shared, config.gate)

    def parts(self) -> list[nn.Module]:
        """Experts and gates; each reads the level's input."""
        return [*self.own, self.shared, *self.gates, *([] if self.shared_gate is None else [self.shared_gate])]


@dataclass(frozen=True)
class _Inputs:
    """What a level reads: an input a task, and that of the shared experts; in the first level all are the same."""

    of_tasks: Sequence[Tensor]
    shared_BX: Tensor


class PLE(Architecture):
    """Levels of experts over the embeddings and numeric values; a tower a task.

    A task's gate mixes the task's experts and the shared ones. Between levels, a shared gate mixes all experts for the
    next level's shared experts: so every loss reaches the experts of all tasks in every level but the last, and the
    gates of tasks in every level but the last two. These are shared; a task's own are its experts in the last level,
    its last two gates and its tower.

    Args:
        embedding: The embedding of the features.
        values: Number of further columns of the input, such as numeric values.
        tasks: The names of the tasks.
        config: Number and sizes of the layers.
    """

    def __init__(self, embedding: Embedding, *, values: int, tasks: Sequence[str], config: PLEConfig) -> None:
        super().__init__(embedding)
        self._tasks, self._own_experts = tuple(tasks), config.own_experts
        width, read = sum(embedding.layout.widths) + values, config.expert[-1]
        last = config.levels - 1
        self.levels = nn.ModuleList(
            _Level(read if level else width, len(tasks), config, is_last=level == last) for level in range(last + 1)
        )
        self.towers = nn.ModuleList(tower(read, config.tower, config.ensemble) for _ in tasks)

    def through_layers(self, input_BX: Tensor) -> tuple[Tensor, tuple[View, ...]]:
        """Logits B x T, and each task's views.

        They are of the last shared experts' outputs, B x m x D, and beside them of the input of the last level but one,
        B x T x X, and of all its experts' outputs, B x N x D; with one level, of the input alone.
        """
        inputs = _Inputs([input_BX] * len(self._tasks), input_BX)
        *between, last = self._levels()
        beside = []
        for place, level in enumerate(between):
            outputs = self._outputs(level, inputs)
            assert level.shared_gate is not None, "only the last level has none"
            shared_BX = mixed(level.shared_gate(inputs.shared_BX), torch.cat(outputs, dim=1))
            if place == len(between) - 1:
                beside = [_stacked(inputs.of_tasks), torch.cat(outputs, dim=1)]
                inputs = _Inputs([], shared_BX)
            else:
                inputs = _Inputs([self._mixed(level, t, inputs, outputs) for t in range(len(self._tasks))], shared_BX)
        read = [last.shared(inputs.shared_BX), *(beside or [input_BX])]
        views = tuple(zip(*(views_of(tensor, len(self._tasks)) for tensor in read), strict=True))
        return torch.cat([self._logit(task, view) for task, view in enumerate(views)], dim=1), views

    def _levels(self) -> list[_Level]:
        return [cast("_Level", level) for level in self.levels]

    def _outputs(self, level: _Level, inputs: _Inputs) -> list[Tensor]:
        """The outputs of each task's experts, B x s x D, and last those of the shared ones, B x m x D."""
        own = [experts(input_BX) for experts, input_BX in zip(level.own, inputs.of_tasks, strict=True)]
        return [*own, level.shared(inputs.shared_BX)]

    def _mixed(self, level: _Level, task: int, inputs: _Inputs, outputs: Sequence[Tensor]) -> Tensor:
        share_BN = level.gates[task](inputs.of_tasks[task])
        return mixed(share_BN, torch.cat([outputs[task], outputs[-1]], dim=1))

    def _logit(self, task: int, view: Sequence[Tensor]) -> Tensor:
        """One task's logit, B x 1, from its views alone."""
        shared_BND, input_BX, *outputs = view
        if outputs:
            start, stop = task * self._own_experts, len(self._tasks) * self._own_experts
            (output_BND,) = outputs
            read_BND = torch.cat([output_BND[:, start : start + self._own_experts], output_BND[:, stop:]], dim=1)
            input_BX = input_BX[:, task] if input_BX.dim() == 3 else input_BX
            input_BX = mixed(self._levels()[-2].gates[task](input_BX), read_BND)
        last = self._levels()[-1]
        share_BN = last.gates[task](input_BX)
        logit_B1: Tensor = self.towers[task](mixed(share_BN, torch.cat([last.own[task](input_BX), shared_BND], dim=1)))
        return logit_B1

    def input_layers(self) -> Sequence[nn.Linear | BatchedLinear]:
        """The first layers of the first level: those of its experts and gates."""
        return [first_layer(part) for part in self._levels()[0].parts()]

    def shared_layers(self) -> list[nn.Parameter]:
        """The parameters that several losses reach, see the class."""
        *between, last = self._levels()
        modules: list[nn.Module] = [
            last.shared,
            *(level.own for level in between),
            *(level.shared for level in between),
        ]
        modules += [*(level.gates for level in between[:-1])]
        modules += [level.shared_gate for level in between if level.shared_gate is not None]
        return [parameter for module in modules for parameter in module.parameters()]

    def expert_gates(self) -> Mapping[str, nn.Module]:
        """The gate of each task, and the shared one, in each level; levels are counted from 1."""
        found: dict[str, nn.Module] = {}
        for number, level in enumerate(self._levels(), 1):
            found |= {f"{task}.level{number}": gate for task, gate in zip(self._tasks, level.gates, strict=True)}
            found |= {f"shared.level{number}": level.shared_gate} if level.shared_gate is not None else {}
        return found


def _stacked(inputs: Sequence[Tensor]) -> Tensor:
    """The inputs of all tasks, B x T x X; the one that they share, B x X, if it is one."""
    return (
        inputs[0] if all(one is inputs[0] for one in inputs) else torch.cat([one.unsqueeze(1) for one in inputs], dim=1)
    )


class PLEConfig(ArchitectureConfig):
    """Levels of experts, some of them a task's own.

    Tasks read no single vector, so methods with rotations are refused.

    Args:
        kind: The architecture.
        levels: Number of levels; 1 is customised gate control (CGC).
        shared_experts: Number of shared experts in each level.
        own_experts: Number of experts of each task in each level.
        expert: Units of each layer of an expert.
        gate: Units of each hidden layer of a gate; empty for one linear layer.
        tower: Units of each hidden layer of a task's tower; empty for one linear layer.
        dropout: Dropout of the experts.
    """

    kind: Literal["ple"] = "ple"
    levels: PositiveInt = 2
    shared_experts: PositiveInt = 2
    own_experts: PositiveInt = 1
    expert: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (96,)
    gate: tuple[PositiveInt, ...] = ()
    tower: tuple[PositiveInt, ...] = ()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @classmethod
    def example(cls) -> Self:
        """Three levels: the fewest in which every part is shared somewhere."""
        return cls(levels=3, shared_experts=2, own_experts=2, expert=(6, 5), gate=(4,), tower=(4,))

    def network(
        self, embedding: Embedding, *, values: int, tasks: Sequence[str], head_transform: HeadTransform | None
    ) -> PLE:
        """The network with these keys."""
        del head_transform  # None: there is no vector to map
        return PLE(embedding, values=values, tasks=tasks, config=self)
