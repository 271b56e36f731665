"""An ensemble: for each task the weighted mean of its members' probabilities, members being networks and trees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, TypeAdapter, model_validator
from torch import Tensor

from features.encoder import Encoder
from models.embedding.portable import PortableEmbedding
from models.embedding.precisions import FLOAT32, Precision
from pipeline.data.windows import Window
from pipeline.serving.graph_rows import GraphRows, RowGraph
from pipeline.serving.kinds.base import Content, Packed, Predictor, inside
from pipeline.serving.kinds.boosting import BoostingContent
from pipeline.serving.kinds.network import NetworkContent

Member = Annotated[NetworkContent | BoostingContent, Field(discriminator="kind")]
_MEMBER: TypeAdapter[NetworkContent | BoostingContent] = TypeAdapter(Member)
_MOST_MEMBERS = 200


class EnsembleContent(Content):
    """What ``model.json`` says of an ensemble.

    Args:
        members: The members, each as its own ``model.json`` would say it.
        weights: For each task the weight of each member's probability; 0 for one without the task.
        kind: ``"ensemble"``.
    """

    members: Annotated[tuple[Member, ...], Field(min_length=1, max_length=_MOST_MEMBERS)]
    weights: tuple[tuple[Annotated[float, Field(ge=0, le=1)], ...], ...]
    kind: Literal["ensemble"] = "ensemble"

    @model_validator(mode="after")
    def _is_mean(self) -> Self:
        shapes = {len(of_task) for of_task in self.weights}
        if len(self.weights) != len(self.tasks) or shapes != {len(self.members)}:
            raise ValueError("`weights` should be one list a task, with one number a member")
        if problems := [*self._problems()]:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        for task, of_task in zip(self.tasks, self.weights, strict=True):
            if not isclose(sum(of_task), 1, abs_tol=1e-9):
                yield f"the weights of `{task}` should sum to 1, found {sum(of_task):g}"
            without = [m for m, w in enumerate(of_task) if w and task not in self.members[m].tasks]
            if without:
                yield f"member {without[0]} has a weight for `{task}`, which it does not predict"

    @property
    def files(self) -> Sequence[str]:
        """See :attr:`pipeline.serving.kinds.base.Content.files`."""
        return [f"{_folder(place)}/{name}" for place, one in enumerate(self.members) for name in one.files]

    def load(self, files: Mapping[str, Path], encoder: Encoder, tables: Precision = FLOAT32) -> Ensemble:
        """See :meth:`pipeline.serving.kinds.base.Content.load`."""
        predictors = tuple(
            one.load(inside(files, _folder(place)), encoder, tables) for place, one in enumerate(self.members)
        )
        return Ensemble(predictors, tuple(one.tasks for one in self.members), self.tasks, self.weights)

    @classmethod
    def packed(cls, tasks: Sequence[str], members: Sequence[Packed], weights: Sequence[Sequence[float]]) -> Packed:
        """Members as one model.

        Args:
            tasks: The tasks.
            members: The networks and trees; an ensemble among them, such as a run's snapshots, gives its own members.
            weights: For each task the weight of each member; they sum to 1.
        """
        flat = [
            pair for one, *of_member in zip(members, *weights, strict=True) for pair in _flat(one, tasks, of_member)
        ]
        contents = tuple(_MEMBER.validate_python(one.content.model_dump()) for one, _ in flat)
        of_tasks = tuple(zip(*(of_member for _, of_member in flat), strict=True))
        content = cls(tasks=tuple(tasks), members=contents, weights=of_tasks)
        files = {f"{_folder(m)}/{name}": path for m, (one, _) in enumerate(flat) for name, path in one.files.items()}
        return Packed(content, files)


def _flat(one: Packed, tasks: Sequence[str], weight_T: Sequence[float]) -> Iterator[tuple[Packed, Sequence[float]]]:
    """A member, or the members of an ensemble, each with its weight for each task."""
    inner = one.content
    if not isinstance(inner, EnsembleContent):
        yield one, weight_T
        return
    for m, member in enumerate(inner.members):
        own = {task: of_task[m] for task, of_task in zip(inner.tasks, inner.weights, strict=True)}
        weights = [weight * own.get(task, 0.0) for task, weight in zip(tasks, weight_T, strict=True)]
        yield Packed(member, inside(one.files, _folder(m))), weights


@dataclass(frozen=True)
class Ensemble(Predictor):
    """A weighted mean for each task; further outputs of a member are left out.

    Args:
        members: The members.
        member_tasks: The tasks of each member, in the order of its outputs.
        tasks: The tasks.
        weights: For each task the weight of each member.
    """

    members: tuple[Predictor, ...]
    member_tasks: tuple[tuple[str, ...], ...]
    tasks: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]

    @property
    def embeddings(self) -> Iterable[PortableEmbedding]:
        """See :attr:`pipeline.serving.kinds.base.Predictor.embeddings`."""
        return [embedding for one in self.members for embedding in one.embeddings]

    def probabilities(self, window: Window) -> Tensor:
        """See :meth:`pipeline.serving.kinds.base.Predictor.probabilities`."""
        total_NT = torch.zeros(len(window), len(self.tasks), dtype=torch.float64)
        for m, (member, tasks) in enumerate(zip(self.members, self.member_tasks, strict=True)):
            probability_NO = member.probabilities(window).double()
            for t, task in enumerate(self.tasks):
                if weight := self.weights[t][m]:
                    total_NT[:, t] += weight * probability_NO[:, tasks.index(task)]
        return total_NT

    def graph(self) -> RowGraph:
        """See :meth:`pipeline.serving.kinds.base.Predictor.graph`."""
        return _EnsembleGraph(self)


class _EnsembleGraph(RowGraph):
    def __init__(self, ensemble: Ensemble) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(member.graph() for member in ensemble.members)
        # For each task the weight, member, and the member's output.
        self._parts = [
            [
                (weight, m, ensemble.member_tasks[m].index(task))
                for m, weight in enumerate(ensemble.weights[t])
                if weight
            ]
            for t, task in enumerate(ensemble.tasks)
        ]

    def forward(self, rows: GraphRows) -> Tensor:
        """See :meth:`pipeline.serving.graph_rows.RowGraph.forward`."""
        found = [member(rows) for member in self.members]
        sums = [sum(weight * found[m][:, output] for weight, m, output in parts) for parts in self._parts]
        return torch.stack([torch.as_tensor(one) for one in sums], dim=1)


def _folder(place: int) -> str:
    return f"members/{place}"
