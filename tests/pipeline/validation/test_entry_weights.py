"""Weights of a multi-hot: one for each entry of its list, or none at all."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from features.errors import InputError
from features.fitting import fit
from pipeline.data.prepare import prepare
from pipeline.data.windows import Window
from tests.commands import run
from tests.pipeline.small_shop import ROWS, shop_config, shop_log, write, write_config

WEIGHTED = {"tags": '{ kind = "multi_hot", weights = "w" }'}
ONES = pl.lit(1.0).repeat_by(pl.col("tags").list.len())
TWO = pl.lit([1, 2])
FIX = "give each entry of `tags` one number, or the row null"


@pytest.mark.parametrize(
    ("tags", "weights", "rows"),
    [
        (pl.col("tags"), pl.lit([1.0]), None),
        (TWO, pl.when(pl.col("click_id") == 7).then(pl.lit([1.0])).otherwise(pl.lit([1.0, 1.0])), 1),
        # One too few in one row, one too many in another: all together there are as many weights as entries.
        (
            TWO,
            pl.when(pl.col("click_id") == 7)
            .then(pl.lit([1.0]))
            .when(pl.col("click_id") == 8)
            .then(pl.lit([1.0, 1.0, 1.0]))
            .otherwise(pl.lit([1.0, 1.0])),
            2,
        ),
        (TWO, pl.when(pl.col("click_id") < 5).then(pl.lit([], pl.List(pl.Float64))).otherwise(pl.lit([1.0, 1.0])), 5),
        (TWO, pl.lit([1, 2, 3]), 3000),
        (TWO, pl.lit([1.0, 2.0, 3.0]).cast(pl.Array(pl.Float32, 3)), 3000),
    ],
)
def test_weights_of_another_length_are_found_before_anything_is_written(
    tags: pl.Expr, weights: pl.Expr, rows: int | None
) -> None:
    log = shop_log().with_columns(tags=tags).with_columns(w=weights)
    wrong = (
        log.filter((pl.col("tags").list.len() > 0) & (pl.col("tags").list.len() != 1)).height if rows is None else rows
    )
    write(log)
    with pytest.raises(InputError) as error:
        prepare(shop_config(WEIGHTED))
    s = "s" if wrong > 1 else ""
    where = f"has the wrong length in {wrong} row{s} of 1 file (first in logs/part-0.parquet)"
    assert f"column `w` (weights of feature `tags`) {where}; {FIX}" in str(error.value)
    assert "1 problem(s)" in str(error.value)


def test_the_error_names_the_first_file_and_all_rows() -> None:
    log = shop_log().with_columns(w=ONES)
    write(log[:1000], "logs/a.parquet")
    for place, name in ((1000, "b"), (2000, "c")):
        write(log[place : place + 1000].with_columns(w=pl.lit([1.0] * 9)), f"logs/{name}.parquet")
    write_config(WEIGHTED)
    code, _, err = run("prepare", "shop.toml")
    assert code == 2
    wrong = int((log["tags"][1000:].list.len() > 0).sum())
    assert f"in {wrong} rows of 2 files (first in logs/b.parquet)" in " ".join(err.split())


@pytest.mark.parametrize(
    "weights",
    [
        ONES,
        pl.when(pl.col("click_id") % 3 > 0).then(ONES),
        pl.when(pl.col("tags").list.len() > 0).then(ONES).otherwise(pl.lit([5.0])),
        pl.lit(None, pl.List(pl.Float64)),
        pl.lit(None, pl.Null),
    ],
)
def test_rows_without_weights_or_entries_fit_and_their_weights_are_zero(weights: pl.Expr) -> None:
    log = shop_log().with_columns(w=weights)
    write(log)
    prepared = prepare(shop_config(WEIGHTED))
    assert prepared.rows == ROWS
    rows = pl.concat([pl.read_parquet(prepared.folder / split / "*.parquet") for split in ROWS])
    assert (rows["id.tags"].list.len() == rows["weight.tags"].list.len()).all()
    assert rows["weight.tags"].explode().is_finite().all()
    unknown = log.filter(pl.col("w").is_null() & (pl.col("tags").list.len() > 0)).height
    assert rows.filter(pl.col("weight.tags").list.sum() == 0).height == unknown


def test_a_row_of_another_length_never_lends_its_weights_to_the_next() -> None:
    spec = shop_config(WEIGHTED).spec
    log = shop_log(50).with_columns(tags=TWO).with_columns(w=pl.lit([1.0, 3.0]))
    encoder = fit(spec, log.lazy())
    encoded = encoder.encode(log.lazy()).collect()
    window = Window.of(encoded, spec, ["purchase"])
    weight_E = window.entries["tags"].weight_E
    assert weight_E is not None
    assert torch.equal(weight_E, torch.tensor([0.25, 0.75]).repeat(50))
    shifted = encoded.with_columns(
        pl.when(pl.int_range(pl.len()) == 3)
        .then(pl.lit([1.0], pl.List(pl.Float32)))
        .when(pl.int_range(pl.len()) == 4)
        .then(pl.lit([1.0, 1.0, 1.0], pl.List(pl.Float32)))
        .otherwise("weight.tags")
        .alias("weight.tags")
    )
    with pytest.raises(InputError, match="feature `tags` has another number of weights than of entries in 2 rows"):
        Window.of(shifted, spec, ["purchase"])
