"""Boosted trees of one task as arrays, evaluated by numpy: no pickle, and no library of boosting to serve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

CODES = 256  # codes of a category are below it
_CELLS = 1 << 20  # rows times trees that are looked at together: their places take 20 MB


@dataclass(frozen=True)
class Forest:
    """Trees whose leaves add up to a logit.

    A node sends a row to its left child if the row's column is at most the threshold, or, at a node with a set of
    categories, if the column's code is in the set; else to its right child. A child from 0 on is a node's number, one
    below 0 is the leaf ``-1 - child``.

    Args:
        root_K: The first child of each tree.
        column_P: The column that each node reads.
        threshold_P: The threshold of each node.
        nan_left_P: Whether a node without a set sends a row without a number to the left.
        set_P: The number of each node's set of categories; -1 for a node with a threshold.
        left_P: The left child; a child that is a node has a higher number than its parent.
        right_P: The right child.
        leaf_L: The leaves, in log-odds.
        in_set_SX: Sets x :data:`CODES`: whether a code is in a set.
        base: What is added to every logit, as an array of one number.
    """

    root_K: Ints
    column_P: Ints
    threshold_P: Array
    nan_left_P: Bools
    set_P: Ints
    left_P: Ints
    right_P: Ints
    leaf_L: Array
    in_set_SX: Bools
    base: Array

    @classmethod
    def read(cls, arrays: Mapping[str, npt.NDArray[np.generic]], columns: int) -> Forest:
        """Trees of the arrays that :attr:`arrays` gave, from an untrusted place.

        Args:
            arrays: The arrays; others among them are ignored.
            columns: The number of columns.

        Raises:
            ValueError: If an array is missing, of another type or shape, or leads out of the others. All are listed.
        """
        found = {field.name: arrays.get(field.name) for field in fields(cls)}
        problems = [f"`{name}` should be {_TYPES[name]}" for name, a in found.items() if not _is_of_type(name, a)]
        if not problems:
            forest = cls(**found)  # type: ignore[arg-type]  # of the right types, as was just found
            problems = [*forest._problems(columns)]
        if problems:
            raise ValueError("; ".join(problems))
        return forest

    @property
    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Its arrays by name, to be stored."""
        return {field.name: np.ascontiguousarray(getattr(self, field.name)) for field in fields(self)}

    def logits(self, column_NC: npt.NDArray[np.float32]) -> Array:
        """The logit of each row.

        Args:
            column_NC: The columns of the rows; NaN where a number is unknown.
        """
        size = max(1, _CELLS // max(1, len(self.root_K)))
        parts = [self._logits(column_NC[start : start + size]) for start in range(0, len(column_NC), size)]
        return np.concatenate([np.empty(0), *parts])

    def _logits(self, column_NC: npt.NDArray[np.float32]) -> Array:
        rows, trees = len(column_NC), len(self.root_K)
        child_M = np.tile(self.root_K, rows)
        place_M = np.flatnonzero(child_M >= 0)  # those of (row, tree) that have not reached a leaf
        row_M = place_M // max(1, trees)
        while len(place_M):
            node_M = child_M[place_M]
            next_M = np.where(self._goes_left(column_NC, row_M, node_M), self.left_P[node_M], self.right_P[node_M])
            child_M[place_M] = next_M
            inner_M = next_M >= 0
            place_M, row_M = place_M[inner_M], row_M[inner_M]
        sums: Array = self.leaf_L[-1 - child_M].reshape(rows, trees).sum(1)
        return sums + self.base

    def _goes_left(self, column_NC: npt.NDArray[np.float32], row_M: npt.NDArray[np.int64], node_M: Ints) -> Bools:
        value_M = column_NC[row_M, self.column_P[node_M]]
        # Compared in float64, as trees were grown: a float32 threshold could be on the other side of a value.
        left_M: Bools = value_M <= self.threshold_P[node_M]
        left_M |= np.isnan(value_M) & self.nan_left_P[node_M]
        if len(self.in_set_SX):
            set_M = self.set_P[node_M]
            with_set_M = np.flatnonzero(set_M >= 0)
            code_M = np.nan_to_num(value_M[with_set_M], nan=CODES - 1).clip(0, CODES - 1).astype(np.int64)
            left_M[with_set_M] = self.in_set_SX[set_M[with_set_M], code_M]
        return left_M

    def _problems(self, columns: int) -> Iterator[str]:
        nodes, leaves, sets = len(self.column_P), len(self.leaf_L), len(self.in_set_SX)
        if {len(getattr(self, name)) for name in _OF_NODES} != {nodes}:
            yield f"{', '.join(_OF_NODES)} should have one entry for each of {nodes} nodes"
            return
        number_P = np.arange(nodes)
        firsts = {"root_K": np.full(len(self.root_K), -1), "left_P": number_P, "right_P": number_P}
        for name, first in firsts.items():
            child = getattr(self, name)
            if (((child >= 0) & (child <= first)) | (child >= nodes) | (child < -leaves)).any():
                yield f"`{name}` should name leaves, or nodes behind the parent"
        if _beyond(self.column_P, 0, columns) or _beyond(self.set_P, -1, sets):
            yield f"`column_P` and `set_P` should name one of {columns} columns and of {sets} sets"
        if np.isnan(self.threshold_P).any() or not np.isfinite([*self.leaf_L, *self.base]).all():
            yield "thresholds and leaves should be numbers"
        if self.base.shape != (1,) or self.in_set_SX.shape[1] != CODES:
            yield f"`base` should be one number, `in_set_SX` have {CODES} codes"


def _beyond(number_P: Ints, least: int, end: int) -> bool:
    return bool(((number_P < least) | (number_P >= end)).any())


_OF_NODES = ("threshold_P", "nan_left_P", "set_P", "left_P", "right_P")
_TYPES = {
    "root_K": "int32",
    "column_P": "int32",
    "threshold_P": "float64",
    "nan_left_P": "bool",
    "set_P": "int32",
    "left_P": "int32",
    "right_P": "int32",
    "leaf_L": "float64",
    "in_set_SX": "bool",
    "base": "float64",
}


def _is_of_type(name: str, array: npt.NDArray[np.generic] | None) -> bool:
    return array is not None and array.dtype == _TYPES[name] and array.ndim == (2 if name == "in_set_SX" else 1)
