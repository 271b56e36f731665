"""Tables in fewer bits against a naive reference in float64, on ordinary and on hostile rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from features.encoder import Table
from features.errors import InputError
from models.embedding import stored
from models.embedding.cut import Bags
from models.embedding.exported import ExportedEmbedding
from models.embedding.portable import PortableEmbedding
from models.embedding.precisions import Precision
from models.embedding.stored import LARGEST, STORED, Int8Rows

Array = npt.NDArray[np.float64]
REDUCED: list[Precision] = ["bfloat16", "int8"]
HOSTILE = {
    "zeros": [[0.0, 0.0, 0.0]],
    "one value": [[0.25, 0.25, 0.25]],
    "one outlier": [[1e6, 1e-3, -1e-3]],
    "largest": [[LARGEST, -LARGEST, 1.0]],
    "subnormal": [[1e-45, -1e-44, 0.0], [1e-38, 1e-39, -1e-40]],
    "halves": [[127.0, 0.5, 1.5], [127.0, 2.5, -0.5]],
    "negative": [[-3.0, -2.0, -1.0]],
}


def bfloat16_up(number: float) -> float:
    """The least number with 8 significant bits, or of bfloat16's subnormal ones, that is not below a positive one."""
    if number == 0:
        return 0.0
    step = 2.0 ** (max(np.floor(np.log2(number)), -126) - 7)
    return float(np.ceil(number / step) * step)


def as_int8(table_RW: Array) -> Array:
    """What whole numbers with a scale a row stand for, row by row, number by number."""
    found = np.zeros_like(table_RW)
    for r, row_W in enumerate(table_RW):
        scale = bfloat16_up(float(max(abs(row_W))) / 127)
        for w, number in enumerate(row_W):
            found[r, w] = 0.0 if scale == 0 else scale * round(number / scale)
    return found


def as_bfloat16(table_RW: Array) -> Array:
    """The nearest numbers with 8 significant bits, ties to even."""
    exponent = np.maximum(np.floor(np.log2(np.where(table_RW == 0, 1, np.abs(table_RW)))), -126)
    step = 2.0 ** (exponent - 7)
    return np.rint(table_RW / step) * step


REFERENCE = {"int8": as_int8, "bfloat16": as_bfloat16}


def read(tables: Sequence[Tensor], precision: Precision) -> Array:
    """All rows as they are looked up."""
    held = STORED[precision].of(tables)
    row_N = torch.arange(len(held.rows_RW), dtype=torch.int32)
    return held.summed(row_N, row_N, None).double().numpy()


@pytest.mark.parametrize("precision", REDUCED)
def test_rows_are_those_of_the_reference(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_AT_ONCE", 64)
    generator = torch.Generator().manual_seed(0)
    # More rows than are rounded at a time, of lengths from 1e-6 to 1e6; and a table of one row.
    tables = [torch.randn(rows, 3, generator=generator) for rows in (300, 1)]
    tables[0] *= 10 ** (12 * torch.rand(len(tables[0]), 1, generator=generator) - 6)
    expected_RW = REFERENCE[precision](torch.cat(tables).double().numpy())
    np.testing.assert_allclose(read(tables, precision), expected_RW, rtol=1e-7, atol=0)  # a product in float32


@pytest.mark.parametrize("precision", REDUCED)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_rows_are_those_of_the_reference_and_near(name: str, precision: Precision) -> None:
    table_RW = torch.tensor(HOSTILE[name])
    found_RW, exact_RW = read([table_RW], precision), table_RW.double().numpy()
    # Below the normal numbers of float32 a product has fewer digits.
    np.testing.assert_allclose(found_RW, REFERENCE[precision](exact_RW), rtol=1e-7, atol=2e-45)
    largest_R1 = np.abs(exact_RW).max(1, keepdims=True)
    bound_RW = largest_R1 / 252 if precision == "int8" else np.abs(exact_RW) / 256
    assert (np.abs(found_RW - exact_RW) <= bound_RW + 1e-40).all()


@pytest.mark.parametrize("precision", REDUCED)
def test_what_would_become_infinite_is_refused(precision: Precision) -> None:
    table_RW = torch.tensor([[0.0, -3.4e38]])
    with pytest.raises(InputError, match=r"holds the number 3.4e\+38.*up to 1e\+38; serve it with tables in float32"):
        STORED[precision].of([table_RW])


@pytest.mark.parametrize("precision", get_args(Precision))
@pytest.mark.parametrize("weighted", [False, True])
def test_pooled_rows_are_sums_of_the_rows_that_are_held(precision: Precision, weighted: bool) -> None:
    tables = [Table("a", 7, 4, ("a",)), Table("b", 5, 8, ("b", "c")), Table("d", 1, 4, ("d",))]
    embedding, generator = PortableEmbedding(tables), torch.Generator().manual_seed(0)
    values = [table.detach().clone() for table in embedding.tables()]
    lengths_FB = torch.randint(0, 4, (4, 6), generator=generator, dtype=torch.int32)
    sizes = [7, 5, 5, 1]
    ids = [torch.randint(0, n, (int(k.sum()),), generator=generator) for n, k in zip(sizes, lengths_FB, strict=True)]
    ids_N = torch.cat(ids).to(torch.int32)
    weight_N = torch.rand(len(ids_N), generator=generator) if weighted else None
    embedding.join(precision)
    assert embedding.precision == precision
    rows = {4: 7 + 1, 8: 5}
    of_row = {"float32": lambda width: 4 * width, "bfloat16": lambda width: 2 * width, "int8": lambda width: width + 2}
    assert embedding.size == sum(n * of_row[precision](width) for width, n in rows.items())
    assert [*embedding.parameters()] == [] or precision == "float32", "nothing in float32 is left"
    held = [table.double().numpy() for table in values]
    held = [REFERENCE[precision](table) if precision in REFERENCE else table for table in held]
    expected_BE = np.zeros((6, 4 + 8 + 8 + 4))
    entry = 0
    for feature, (table, first) in enumerate([(0, 0), (1, 4), (1, 12), (2, 20)]):
        for b in range(6):
            for _ in range(int(lengths_FB[feature, b])):
                weight = 1.0 if weight_N is None else float(weight_N[entry])
                row_W = held[table][int(ids_N[entry])]
                expected_BE[b, first : first + len(row_W)] += weight * row_W
                entry += 1
    bags = Bags(ids_N, lengths_FB.flatten(), weight_N)
    exported = ExportedEmbedding(embedding)(Bags(ids_N.long(), lengths_FB.flatten().long(), weight_N))
    for found_BE in (embedding(bags), exported):
        # Sums of three products in float32.
        np.testing.assert_allclose(found_BE.numpy(), expected_BE, rtol=0, atol=2e-6)


def test_a_row_of_zeros_stays_one_and_takes_no_part_in_others() -> None:
    held = Int8Rows.of([torch.zeros(2, 4), torch.ones(1, 4)])
    assert held.scale_R.tolist()[:2] == [0.0, 0.0]
    assert read([torch.zeros(2, 4), torch.ones(1, 4)], "int8")[:2].tolist() == [[0.0] * 4] * 2
