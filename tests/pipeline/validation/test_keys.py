"""Columns that name rows or groups of rows, of every type: the split's key, the group and `unique`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import InputError
from pipeline.config.split import SplitConfig, split_by_key
from pipeline.data.prepare import prepare
from tests.pipeline.small_shop import ROWS, shop_config, shop_log, write

KEY = {'key = "click_id"': 'key = "sid"'}
GROUP = {"[spec]\n": '[spec]\ngroup = "sid"\n'}
UNIQUE = {"[spec]\n": '[contract]\nunique = ["sid"]\n[spec]\n'}
ROLES = {"key": KEY, "group": GROUP, "unique": UNIQUE}
NAMES = {"key": "`[split] key`", "group": "the group of GAUC", "unique": "`[contract] unique`"}


def ids(rows: int = 3000) -> list[bytes]:
    generator = np.random.default_rng(7)
    return [generator.bytes(16) for _ in range(rows)]


def write_with(values: pa.Array) -> None:
    table = shop_log().to_arrow().append_column("sid", values)
    Path("logs").mkdir(exist_ok=True)
    pq.write_table(table, "logs/part-0.parquet")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", [pa.binary(), pa.binary(16), pa.large_binary(), pa.uuid()], ids=str)
def test_bytes_name_rows_by_their_hexadecimal_digits(kind: pa.DataType, role: str) -> None:
    write_with(pa.array(ids(), pa.binary(16)).cast(kind) if kind != pa.uuid() else pa.array(ids(), pa.uuid()))
    found = prepare(shop_config(changes=ROLES[role]))
    write(shop_log().with_columns(sid=pl.Series([one.hex() for one in ids()])), "text/part-0.parquet")
    of_text = prepare(shop_config(None, ROLES[role], 'data.train="text"'))
    assert found.rows == of_text.rows
    assert sum(found.rows.values()) == 3000
    for split in found.rows:
        assert pl.read_parquet(found.folder / split).equals(pl.read_parquet(of_text.folder / split))


def test_bytes_are_a_category() -> None:
    few = [one for one in ids(5) for _ in range(600)]
    features = {
        "sid": '{ kind = "categorical" }',
        "pair": '{ kind = "cross", columns = ["sid", "country"], buckets = 9 }',
    }
    write_with(pa.array(few, pa.uuid()))
    found = prepare(shop_config(features))
    assert found.rows == ROWS
    assert sorted(found.encoder().vocabularies["sid"]) == sorted(UUID(bytes=one).hex for one in dict.fromkeys(few))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (timedelta(seconds=3), pa.duration("s")),
        ([1, 2], pa.list_(pa.int64())),
        ([1, 2], pa.list_(pa.int64(), 2)),
        ({"a": 1}, pa.struct({"a": pa.int64()})),
    ],
    ids=str,
)
def test_a_type_that_names_nothing_is_one_clean_error(value: object, kind: pa.DataType, role: str) -> None:
    write_with(pa.array([value] * 3000, kind))
    with pytest.raises(InputError) as caught:
        prepare(shop_config(changes=ROLES[role]))
    _, problem = str(caught.value).split("\n")
    assert f"column `sid` ({NAMES[role]}) holds " in problem
    assert problem.endswith(
        "it should be one value a row, of text, numbers, booleans, times or bytes: cast it, or name another column"
    )


def test_the_same_bytes_twice_are_named_by_their_digits() -> None:
    write_with(pa.array([*ids(2999), ids(1)[0]], pa.binary(16)))
    with pytest.raises(
        InputError, match=rf"data.train repeats 1 row\(s\), as sid {ids(1)[0].hex()} in logs/part-0.parquet"
    ):
        prepare(shop_config(changes=UNIQUE))


@pytest.mark.parametrize(
    "values",
    [[17, None], [17.0, 0.5], ["17", "17.0"], [True, None], ["true", ""]],
    ids=["int", "float", "text", "bool", "texts"],
)
def test_no_row_of_another_key_moves(values: list[object]) -> None:
    """The split is by the text of the key as it was before keys had names of another rule."""
    rows = pl.DataFrame({"k": values})
    split = SplitConfig(key="k", seed=3)
    as_text = rows.with_columns(pl.col("k").cast(pl.String))
    shares = {"train": 0.6, "val": 0.2, "test": 0.2}
    found = [frame.select(split_by_key(split, shares)).to_series().to_list() for frame in (rows, as_text)]
    assert found[0] == found[1]
