"""Boosted trees, and the columns that they read, in torch's operations, for graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from features.constants import NULL
from pipeline.serving.graph_rows import GraphRows
from pipeline.serving.trees.columns import Column, Columns
from pipeline.serving.trees.forest import CODES, Forest


class ColumnsGraph(nn.Module):
    """What :meth:`pipeline.serving.trees.columns.Columns.of` makes, from the inputs of a graph.

    Args:
        columns: The columns.
    """

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        self._columns = columns.columns
        for place, column in enumerate(columns.columns):
            if column.read == "rate":
                self.register_buffer(f"rate_{place}", _tensor(columns.rates[column.feature]))
            elif column.read in ("category", "entries"):
                self.register_buffer(f"ids_{place}", _tensor(columns.ids[column.feature]))

    def forward(self, rows: GraphRows) -> Tensor:
        """Rows x columns in float32, NaN where unknown."""
        return torch.cat([self._made(place, column, rows) for place, column in enumerate(self._columns)], dim=1)

    def _made(self, place: int, column: Column, rows: GraphRows) -> Tensor:
        name = column.feature
        match column.read:
            case "number":
                return _number(name, rows).unsqueeze(1)
            case "bucket":
                return rows.ids_B(name).float().unsqueeze(1)
            case "category":
                return _codes(rows.ids_B(name), self.get_buffer(f"ids_{place}")).unsqueeze(1)
            case "rate":
                return self.get_buffer(f"rate_{place}")[rows.ids_B(name)].unsqueeze(1)
            case "entries":
                has_BE = (rows.counts_BE(name, self.get_buffer(f"ids_{place}")) > 0).float()
                return torch.cat([rows.length_B(name).float().unsqueeze(1), has_BE], dim=1)


class ForestGraph(nn.Module):
    """What :meth:`pipeline.serving.trees.forest.Forest.logits` gives: all trees go down one level at a time.

    Args:
        forest: The trees.
    """

    root_K: Tensor
    column_P: Tensor
    threshold_P: Tensor
    nan_left_P: Tensor
    set_P: Tensor
    left_P: Tensor
    right_P: Tensor
    leaf_L: Tensor
    in_set_SX: Tensor
    base: Tensor

    def __init__(self, forest: Forest) -> None:
        super().__init__()
        self._depth, self._sets = _depth(forest), len(forest.in_set_SX)
        for name, array in forest.arrays.items():
            self.register_buffer(name, _tensor(array))

    def forward(self, column_BC: Tensor) -> Tensor:
        """Logits in float64."""
        child_BK = self.root_K.unsqueeze(0).expand(column_BC.shape[0], -1)
        for _ in range(self._depth):
            node_BK = child_BK.clamp(min=0)
            value_BK = column_BC.gather(1, self.column_P[node_BK])
            next_BK = torch.where(self._goes_left(value_BK, node_BK), self.left_P[node_BK], self.right_P[node_BK])
            child_BK = torch.where(child_BK >= 0, next_BK, child_BK)
        return self.leaf_L[-1 - child_BK].sum(1) + self.base

    def _goes_left(self, value_BK: Tensor, node_BK: Tensor) -> Tensor:
        left_BK = value_BK.double() <= self.threshold_P[node_BK]
        left_BK = left_BK | (value_BK.isnan() & self.nan_left_P[node_BK])
        if not self._sets:
            return left_BK
        set_BK = self.set_P[node_BK]
        known_BK = torch.where(value_BK.isnan(), float(CODES - 1), value_BK)
        code_BK = known_BK.clamp(0, CODES - 1).long()
        in_set_BK = self.in_set_SX.flatten()[set_BK.clamp(min=0) * CODES + code_BK]
        with_set_BK = set_BK >= 0
        return (with_set_BK & in_set_BK) | (~with_set_BK & left_BK)  # onnxruntime chooses no booleans by `where`


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    """A copy, integers in 64 bits, as indices have to be."""
    tensor = torch.from_numpy(np.array(array))
    return tensor.long() if array.dtype == np.int32 else tensor


def _number(name: str, rows: GraphRows) -> Tensor:
    value_B = rows.value_B(name)
    if name not in rows.id_features:
        return value_B
    return torch.where(rows.ids_B(name) == NULL, float("nan"), value_B)


def _codes(ids_B: Tensor, frequent: Tensor) -> Tensor:
    """The place of each id among the frequent ones; their number for all others."""
    if not len(frequent):
        return torch.zeros_like(ids_B, dtype=torch.float32)
    is_one_BE = ids_B.unsqueeze(1) == frequent
    place_E = torch.arange(len(frequent))
    return torch.where(is_one_BE, place_E, len(frequent)).amin(1).float()


def _depth(forest: Forest) -> int:
    """The largest number of nodes on the way to a leaf."""
    level_P = np.zeros(len(forest.column_P), np.int64)
    for node in range(len(level_P)):  # a child has a higher number than its parent
        for child in (forest.left_P[node], forest.right_P[node]):
            if child >= 0:
                level_P[child] = max(level_P[child], level_P[node] + 1)
    return int(level_P.max(initial=-1)) + 1
