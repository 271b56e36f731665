"""Boosted trees: a forest for each task, as arrays in safetensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.numpy import load_file
from torch import Tensor

from features.encoder import Encoder
from features.errors import InputError
from models.embedding.precisions import FLOAT32, Precision
from pipeline.data.windows import Window
from pipeline.serving.graph_rows import GraphRows, RowGraph
from pipeline.serving.kinds.base import Content, Packed, Predictor
from pipeline.serving.trees.columns import Arrays, Columns
from pipeline.serving.trees.forest import Forest
from pipeline.serving.trees.graph import ColumnsGraph, ForestGraph


class BoostingContent(Content):
    """What ``model.json`` says of boosted trees.

    Args:
        kind: ``"boosting"``.
    """

    kind: Literal["boosting"] = "boosting"

    @property
    def files(self) -> Sequence[str]:
        """See :attr:`pipeline.serving.kinds.base.Content.files`."""
        return [_file(place) for place in range(len(self.tasks))]

    def load(self, files: Mapping[str, Path], encoder: Encoder, tables: Precision = FLOAT32) -> Boosting:
        """See :meth:`pipeline.serving.kinds.base.Content.load`; trees have no embedding tables."""
        del tables
        return Boosting(tuple(Trees.load(files[name], encoder) for name in self.files))

    @classmethod
    def packed(cls, trees: Mapping[str, Path]) -> Packed:
        """Trained trees.

        Args:
            trees: For each task the safetensors file that holds its :attr:`Trees.arrays`.
        """
        content = cls(tasks=tuple(trees))
        return Packed(content, dict(zip(content.files, trees.values(), strict=True)))


@dataclass(frozen=True)
class Trees:
    """The trees of one task.

    Args:
        columns: The columns that they read.
        forest: The trees.
    """

    columns: Columns
    forest: Forest

    @classmethod
    def load(cls, file: Path, encoder: Encoder) -> Trees:
        """Read trees.

        Args:
            file: A safetensors file of their :attr:`arrays`.
            encoder: The encoder of the rows.

        Raises:
            InputError: If the arrays are no trees, or not of these rows.
        """
        arrays = load_file(file)
        try:
            columns = Columns.read(arrays, encoder)
            return cls(columns, Forest.read(arrays, len(columns)))
        except ValueError as error:
            raise InputError(f"{file} holds no trees of these features: {error}") from error

    @property
    def arrays(self) -> Arrays:
        """Everything of the trees, to be stored."""
        return {**self.columns.arrays, **self.forest.arrays}

    def probabilities(self, window: Window) -> Tensor:
        """The probability of each encoded row, in float64."""
        return torch.from_numpy(self.forest.logits(self.columns.of(window))).sigmoid()


@dataclass(frozen=True)
class Boosting(Predictor):
    """Trees for each task.

    Args:
        trees: The trees, in the order of the tasks.
    """

    trees: tuple[Trees, ...]

    def probabilities(self, window: Window) -> Tensor:
        """See :meth:`pipeline.serving.kinds.base.Predictor.probabilities`."""
        return torch.stack([trees.probabilities(window) for trees in self.trees], 1)

    def graph(self) -> RowGraph:
        """See :meth:`pipeline.serving.kinds.base.Predictor.graph`."""
        return _BoostingGraph(self.trees)


class _BoostingGraph(RowGraph):
    def __init__(self, trees: Sequence[Trees]) -> None:
        super().__init__()
        self.columns = torch.nn.ModuleList(ColumnsGraph(one.columns) for one in trees)
        self.forests = torch.nn.ModuleList(ForestGraph(one.forest) for one in trees)

    def forward(self, rows: GraphRows) -> Tensor:
        """See :meth:`pipeline.serving.graph_rows.RowGraph.forward`."""
        logits = [forest(columns(rows)) for forest, columns in zip(self.forests, self.columns, strict=True)]
        return torch.stack(logits, dim=1).sigmoid()


def _file(place: int) -> str:
    return f"trees-{place}.safetensors"
