"""A bundle: networks of some tasks each, side by side, such as one single-task network a task, as one model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from features.encoder import Encoder
from models.embedding.portable import PortableEmbedding
from models.embedding.precisions import FLOAT32, Precision
from pipeline.data.windows import Window
from pipeline.serving.graph_rows import GraphRows, RowGraph
from pipeline.serving.kinds.base import Content, Packed, Predictor, inside
from pipeline.serving.kinds.network import WEIGHTS, Network, NetworkContent


class BundleContent(Content):
    """What ``model.json`` says of a bundle.

    Args:
        networks: The networks; the tasks of one after another are those of the bundle.
        kind: ``"bundle"``.
    """

    networks: Annotated[tuple[NetworkContent, ...], Field(min_length=1)]
    kind: Literal["bundle"] = "bundle"

    @model_validator(mode="after")
    def _each_task_once(self) -> Self:
        found = tuple(task for network in self.networks for task in network.tasks)
        if found != self.tasks or len(set(found)) < len(found):
            raise ValueError(f"`tasks` should be those of its networks, one after another; found {self.tasks}, {found}")
        return self

    @property
    def files(self) -> Sequence[str]:
        """See :attr:`pipeline.serving.kinds.base.Content.files`."""
        return [f"{_folder(place)}/{name}" for place, one in enumerate(self.networks) for name in one.files]

    def load(self, files: Mapping[str, Path], encoder: Encoder, tables: Precision = FLOAT32) -> Bundle:
        """See :meth:`pipeline.serving.kinds.base.Content.load`."""
        networks = (one.load(inside(files, _folder(place)), encoder, tables) for place, one in enumerate(self.networks))
        return Bundle(tuple(networks), tuple(len(one.tasks) for one in self.networks))

    @classmethod
    def packed(cls, networks: Sequence[Packed]) -> Packed:
        """Trained networks side by side.

        Args:
            networks: The networks, each as :meth:`NetworkContent.packed` gives it, of disjoint tasks.
        """
        contents = [NetworkContent.model_validate(one.content.model_dump()) for one in networks]
        tasks = tuple(task for content in contents for task in content.tasks)
        files = {f"{_folder(place)}/{WEIGHTS}": one.files[WEIGHTS] for place, one in enumerate(networks)}
        return Packed(cls(tasks=tasks, networks=tuple(contents)), files)


@dataclass(frozen=True)
class Bundle(Predictor):
    """Networks side by side; further outputs of a network are left out.

    Args:
        networks: The networks.
        tasks: The number of tasks of each.
    """

    networks: tuple[Network, ...]
    tasks: tuple[int, ...]

    @property
    def embeddings(self) -> Iterable[PortableEmbedding]:
        """See :attr:`pipeline.serving.kinds.base.Predictor.embeddings`."""
        return [embedding for one in self.networks for embedding in one.embeddings]

    def probabilities(self, window: Window) -> Tensor:
        """See :meth:`pipeline.serving.kinds.base.Predictor.probabilities`."""
        parts = (
            network.probabilities(window)[:, :tasks] for network, tasks in zip(self.networks, self.tasks, strict=True)
        )
        return torch.cat([part.double() for part in parts], 1)

    def graph(self) -> RowGraph:
        """See :meth:`pipeline.serving.kinds.base.Predictor.graph`."""
        return _BundleGraph(self)


class _BundleGraph(RowGraph):
    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.networks = torch.nn.ModuleList(network.graph() for network in bundle.networks)
        self._tasks = bundle.tasks

    def forward(self, rows: GraphRows) -> Tensor:
        """See :meth:`pipeline.serving.graph_rows.RowGraph.forward`."""
        return torch.cat(
            [network(rows)[:, :tasks] for network, tasks in zip(self.networks, self._tasks, strict=True)], 1
        )


def _folder(place: int) -> str:
    return f"networks/{place}"
