"""The rows of embedding tables in the precision that a server holds them in.

A table is trained and stored in float32. A server may hold it in fewer bits; a look-up then turns the rows that it
reads, and no others, into float32, in which everything is computed. One more precision is one class here, and its name
in :mod:`models.embedding.precisions`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from features.errors import InputError
from models.embedding.precisions import Precision

# Beyond it the largest numbers of float32 would round to infinity.
LARGEST = 1e38
# A table's float64 copy, from which its rows are rounded, is made some rows at a time.
_AT_ONCE = 1 << 14


class StoredRows(nn.Module, ABC):
    """The rows of the tables of one width, one table after another.

    A module, so that a graph has its buffers as they are held.

    Args:
        rows_RW: The rows.
    """

    precision: ClassVar[Precision]
    rows_RW: Tensor

    def __init__(self, rows_RW: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows_RW", rows_RW)

    @classmethod
    @abstractmethod
    def of(cls, tables: Sequence[Tensor]) -> Self:
        """The rows of tables of one width.

        Args:
            tables: The tables in float32, finite.

        Raises:
            InputError: If a number is too large for the precision.
        """

    @abstractmethod
    def read(self, row_N: Tensor) -> tuple[Tensor, Tensor | None]:
        """Some rows N x W in float32, and a factor N that each is to be multiplied by; None for all 1."""

    def summed(self, row_N: Tensor, begin_X: Tensor, weight_N: Tensor | None) -> Tensor:
        """The sums of bags of rows, X x W.

        Args:
            row_N: The rows of all bags, one bag after another.
            begin_X: The place of each bag's first row among them.
            weight_N: The weight of each row in its sum; None for all 1.
        """
        read_NW, factor_N = self.read(row_N)
        if factor_N is not None:
            weight_N = factor_N if weight_N is None else factor_N * weight_N
        place_N = torch.arange(len(row_N), dtype=begin_X.dtype)
        return functional.embedding_bag(place_N, read_NW, begin_X, mode="sum", per_sample_weights=weight_N)

    @property
    def size(self) -> int:
        """The bytes of the rows."""
        return sum(buffer.numel() * buffer.element_size() for buffer in self.buffers())


class Float32Rows(StoredRows):
    """Rows as they were trained: 4 W bytes each."""

    precision = "float32"

    @classmethod
    def of(cls, tables: Sequence[Tensor]) -> Self:
        """See :meth:`StoredRows.of`."""
        return cls(torch.cat([*tables]))

    def read(self, row_N: Tensor) -> tuple[Tensor, None]:
        """See :meth:`StoredRows.read`."""
        return self.rows_RW[row_N], None

    def summed(self, row_N: Tensor, begin_X: Tensor, weight_N: Tensor | None) -> Tensor:
        """See :meth:`StoredRows.summed`: here without a copy of the rows."""
        return functional.embedding_bag(row_N, self.rows_RW, begin_X, mode="sum", per_sample_weights=weight_N)


class BFloat16Rows(StoredRows):
    """Rows rounded to bfloat16: 2 W bytes each; a number is off by at most 1/256 of itself."""

    precision = "bfloat16"

    @classmethod
    def of(cls, tables: Sequence[Tensor]) -> Self:
        """See :meth:`StoredRows.of`."""
        rows_RW = _room(tables, torch.bfloat16)
        for rows, part_UW in _pieces(tables):
            rows_RW[rows] = part_UW.to(torch.bfloat16)
        return cls(rows_RW)

    def read(self, row_N: Tensor) -> tuple[Tensor, None]:
        """See :meth:`StoredRows.read`."""
        return self.rows_RW.index_select(0, row_N).float(), None


class Int8Rows(StoredRows):
    """Rows of whole numbers q from -127 to 127 with a scale s a row, standing for s q: W + 2 bytes each.

    s is the row's largest absolute number over 127, in bfloat16, rounded up: no number is clipped, and each is off by
    at most s / 2, that is 1/252 of the row's largest. fbgemm, and with it DLRM (Guan et al., `Post-Training 4-bit
    Quantization on Embedding Tables <https://arxiv.org/abs/1911.02079>`_, 2019, section 2), give a row a scale and a
    zero point in float32, W + 8 bytes. There is no zero point here, since tables are drawn around zero, and zeros stay
    zeros so: at width 8 such a row would take the 16 bytes of bfloat16, less exact.

    Args:
        rows_RW: The whole numbers.
        scale_R: The scales.
    """

    precision = "int8"
    scale_R: Tensor

    def __init__(self, rows_RW: Tensor, scale_R: Tensor) -> None:
        super().__init__(rows_RW)
        self.register_buffer("scale_R", scale_R)

    @classmethod
    def of(cls, tables: Sequence[Tensor]) -> Self:
        """See :meth:`StoredRows.of`."""
        rows_RW = _room(tables, torch.int8)
        scale_R = torch.empty(len(rows_RW), dtype=torch.bfloat16)
        for rows, part_UW in _pieces(tables):
            scale_U = _rounded_up(part_UW.abs().amax(1) / 127)
            # A row of zeros has the scale 0, and may be divided by anything else.
            divisor_U = torch.where(scale_U > 0, scale_U.double(), 1.0)
            rows_RW[rows] = (part_UW / divisor_U.unsqueeze(1)).round().to(torch.int8)
            scale_R[rows] = scale_U
        return cls(rows_RW, scale_R)

    def read(self, row_N: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`StoredRows.read`."""
        return self.rows_RW.index_select(0, row_N).float(), self.scale_R.index_select(0, row_N).float()


STORED: dict[Precision, type[StoredRows]] = {one.precision: one for one in (Float32Rows, BFloat16Rows, Int8Rows)}
assert {*STORED} == {*get_args(Precision)}


def _room(tables: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    return torch.empty(sum(map(len, tables)), tables[0].shape[1], dtype=dtype)


def _pieces(tables: Sequence[Tensor]) -> Iterator[tuple[slice, Tensor]]:
    """Places among all rows, with the rows there in float64."""
    first = 0
    for table in tables:
        for part_UW in table.split(_AT_ONCE):
            if (largest := float(part_UW.abs().amax())) > LARGEST:
                raise InputError(
                    f"a table holds the number {largest:.3g}, and tables in fewer bits hold numbers up to {LARGEST:g};"
                    " serve it with tables in float32"
                )
            yield slice(first, first + len(part_UW)), part_UW.double()
            first += len(part_UW)


def _rounded_up(value_U: Tensor) -> Tensor:
    """The least numbers of bfloat16 that are not below some numbers of float64."""
    nearest_U = value_U.to(torch.bfloat16)
    above_U = nearest_U.nextafter(torch.tensor(torch.inf, dtype=torch.bfloat16))
    return torch.where(nearest_U.double() < value_U, above_U, nearest_U)
