"""The base of every form: how the columns of a request become what a feature has of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.request.column import Column
from features.request.vocabulary import Ids


class Part(NamedTuple):
    """What a feature has of some rows.

    Args:
        ids: The id of each row; of a multi-hot those of all entries, one row after another. None without ids.
        length_N: Number of ids of each row, at least 1; None if each row has one.
        weight_E: Weight of each id; None if the raw rows give none.
        value_N: The number of each row; None without one.
    """

    ids: Ids | None = None
    length_N: npt.NDArray[np.int64] | None = None
    weight_E: npt.NDArray[np.float32] | None = None
    value_N: npt.NDArray[np.float32] | None = None

    @property
    def known_ids(self) -> Ids:
        """The ids of a feature that has them."""
        assert self.ids is not None, "a feature with ids"
        return self.ids

    @property
    def rows(self) -> int:
        """The number of rows."""
        if self.length_N is not None:
            return len(self.length_N)
        return len(self.ids if self.ids is not None else self.value_N if self.value_N is not None else ())

    def repeated(self, rows: int) -> Part:
        """The part of a single row, for a number of rows."""
        ids, length_N, weight_E, value_N = (None if array is None else np.tile(array, rows) for array in self)
        return Part(ids, length_N, weight_E, value_N)  # type: ignore[arg-type]  # each of its own type


class Form(ABC):
    """Encodes a feature's columns as the expressions of its kind do, to the bit."""

    @abstractmethod
    def part(self, columns: Sequence[Column]) -> Part:
        """Ids and numbers of the columns' rows.

        Args:
            columns: The feature's columns, in the order of its kind's ``raw_columns``. Each has all rows, or a single
                value for all of them. If all are single, the part may be that of a single row.

        Raises:
            UnreadError: If a column is of a type or holds a value that the form does not read, or if the feature cannot
                be encoded: the expressions find the reason.
        """
