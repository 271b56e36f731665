"""Times as numbers: prepared in their unit, and refused in another one."""

from __future__ import annotations

from itertools import permutations
from typing import get_args

import polars as pl
import pytest

from features.errors import InputError
from features.transforms import FIRST_KNOWN, Unit
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from tests.pipeline.small_shop import ROWS, shop_config, shop_log, write


def prepared(times: pl.Expr, unit: Unit, *, files: int = 1) -> Prepared:
    log = shop_log().with_columns(ts=times)
    for place in range(files):
        write(log.gather_every(files, place), f"logs/part-{place}.parquet")
    hour = '{{ kind = "time", column = "ts", part = "hour", unit = "{unit}" }}'
    return prepare(shop_config({"hour": hour.format(unit=unit)}))


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_hours_of_numbers_are_prepared(unit: Unit) -> None:
    found = prepared(pl.col("ts").dt.epoch(unit), unit)
    assert found.rows == ROWS
    hours = pl.read_parquet(found.folder / "train").get_column("id.hour")
    assert hours.min() == FIRST_KNOWN
    assert hours.max() == FIRST_KNOWN + 23


@pytest.mark.parametrize(("held", "declared"), list(permutations(get_args(Unit), 2)))
def test_a_unit_that_is_wrong_by_a_thousand_is_refused(held: Unit, declared: Unit) -> None:
    with pytest.raises(
        InputError, match=rf"`ts` \(feature `hour`\) holds .* in 3000 rows of 3 files(.*)\"{declared}\""
    ):
        prepared(pl.col("ts").dt.epoch(held), declared, files=3)


def test_some_odd_times_are_unknown_and_no_error() -> None:
    """Java's largest number and 0 stand for `never`."""
    odd = pl.when(pl.col("click_id") % 5 == 0).then(2**63 - 1).when(pl.col("click_id") % 5 == 1).then(0)
    found = prepared(odd.otherwise(pl.col("ts").dt.epoch("ms")), "ms", files=2)
    assert found.rows == ROWS


def test_the_majority_is_that_of_all_files_together() -> None:
    mostly = pl.when(pl.col("click_id") % 2 == 0).then(2**63 - 1).otherwise(pl.col("ts").dt.epoch("ms"))
    assert prepared(mostly, "ms", files=2).rows == ROWS
