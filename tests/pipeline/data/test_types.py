"""Columns of types that users' files have: the rows that they give, or the one error that names the fix."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import InputError
from features.transforms import NULL
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.validation.raw_data import examine_raw_data, find_raw_files
from tests.pipeline.small_shop import ROWS, shop_config, shop_log, write

TAGS = {"tags": '{ kind = "multi_hot" }'}
NEIGHBOUR = pl.col("user_id") % 7
ODD = pl.col("user_id") % 9 == 0


def prepared(log: pl.DataFrame, features: dict[str, str] | None = None, **changes: str) -> Prepared:
    write(log)
    return prepare(shop_config(features, changes))


def train(found: Prepared, column: str) -> pl.Series:
    return pl.read_parquet(found.folder / "train").get_column(column)


def refused(log: pl.DataFrame, features: dict[str, str] | None = None) -> str:
    """The one problem of a log; nothing is prepared."""
    with pytest.raises(InputError) as caught:
        prepared(log, features)
    assert not list(Path("prepared").glob("*/manifest.json"))
    assert not list(Path("prepared").glob(".*.draft"))
    _, problem = str(caught.value).split("\n")
    return problem


@pytest.mark.parametrize("more", ["", ', buckets = 20, table = "t"', ", max_length = 1"])
def test_a_list_of_fixed_length_is_a_list(more: str) -> None:
    lists = pl.concat_list("item_id", NEIGHBOUR)
    feature = {"tags": f'{{ kind = "multi_hot"{more} }}'}
    plain = prepared(shop_log().with_columns(tags=lists), feature)
    fixed = prepared(shop_log().with_columns(tags=lists.list.to_array(2)), feature)
    assert fixed.rows == ROWS
    assert train(fixed, "id.tags").to_list() == train(plain, "id.tags").to_list()


@pytest.mark.parametrize("fixed", [("tags",), ("w",), ("tags", "w")])
def test_weights_of_fixed_length_beside_a_list(fixed: tuple[str, ...]) -> None:
    log = shop_log().with_columns(
        tags=pl.when(~ODD).then(pl.concat_list("item_id", NEIGHBOUR)),
        w=pl.when(~ODD).then(pl.concat_list("price", pl.lit(0.5))),
    )
    feature = {"tags": '{ kind = "multi_hot", weights = "w" }'}
    plain = prepared(log, feature)
    found = prepared(log.with_columns(pl.col(fixed).list.to_array(2)), feature)
    for column in ("id.tags", "weight.tags"):
        assert train(found, column).to_list() == train(plain, column).to_list()


def test_a_label_is_read_from_a_list_of_fixed_length() -> None:
    log = shop_log().with_columns(bought=pl.concat_list("bought", "carted").list.to_array(2))
    write(log)
    config = shop_config(changes={'positive = "bought = 1"': 'positive = "ARRAY_LENGTH(bought) > 1"'})
    (problem,) = examine_raw_data(config, find_raw_files(config)).problems
    assert "`purchase`" in problem


@pytest.mark.parametrize("kind", [pl.Float64, pl.Float32, pl.Decimal(20, 2), pl.Decimal(38, 0)], ids=str)
def test_whole_floats_are_the_integers_that_they_are(kind: pl.DataType) -> None:
    """Pandas makes integers with gaps floats, Spark's lists are often of doubles."""
    log = shop_log().with_columns(item_id=pl.when(~ODD).then("item_id"))
    features = TAGS | {"pair": '{ kind = "cross", columns = ["item_id", "country"], buckets = 90 }'}
    integers = prepared(log, features)
    floats = prepared(log.with_columns(pl.col("item_id").cast(kind), pl.col("tags").cast(pl.List(kind))), features)
    for column in ("id.item_id", "id.tags", "id.pair"):
        assert train(floats, column).to_list() == train(integers, column).to_list()
    assert floats.encoder().vocabularies["item_id"].to_list() == integers.encoder().vocabularies["item_id"].to_list()
    assert NULL in train(floats, "id.item_id")


@pytest.mark.parametrize(
    ("column", "odd", "found"),
    [
        ("item_id", pl.lit(1.5), "holds 1.5 in 345 rows of 1 file (first in logs/part-0.parquet)"),
        ("item_id", pl.lit(2.0**53 + 2), "holds 9.00719925474099e+15 in 345 rows"),
        ("item_id", pl.lit(1e19), "holds 1e+19 in 345 rows"),
        ("item_id", pl.lit(2.0**24 + 2, pl.Float32), "holds 16777218 in 345 rows"),
        ("item_id", pl.lit("0.25").cast(pl.Decimal(10, 2)), "holds 0.25 in 345 rows"),
        ("tags", pl.concat_list(pl.lit(3.0), pl.lit(0.5)), "holds 0.5 in 345 rows"),
    ],
)
def test_floats_that_are_no_whole_numbers_are_no_categories(column: str, odd: pl.Expr, found: str) -> None:
    log = shop_log()
    kind = log.head(1).select(odd).to_series().dtype
    log = log.with_columns(pl.when(ODD).then(odd).otherwise(pl.col(column).cast(kind)).alias(column))
    rows = log.filter(ODD).height
    problem = refused(log, TAGS)
    assert f"column `{column}` (feature `{column}`) {found}".replace("345 rows", f"{rows} rows") in problem
    assert problem.endswith("cast it to a nullable integer, or declare the feature numeric")


def test_nan_and_infinite_ids_are_unknown() -> None:
    odd = pl.when(ODD).then(float("nan")).when(pl.col("user_id") % 9 == 1).then(float("inf")).otherwise("item_id")
    found = prepared(shop_log().with_columns(item_id=odd))
    assert (train(found, "id.item_id") == NULL).sum() > 300


@pytest.mark.parametrize("text", ["true", "1.0"])
def test_the_spelling_of_truth_is_no_matter(text: str) -> None:
    yes = pl.when(ODD).then(pl.lit(text)).otherwise(pl.lit({"true": "false", "1.0": "0.0"}[text]))
    found = prepared(shop_log().with_columns(country=yes))
    truth = prepared(shop_log().with_columns(country=ODD))
    assert train(found, "id.country").to_list() == train(truth, "id.country").to_list()


def test_texts_with_a_separator_are_lists() -> None:
    feature = {"tags": '{ kind = "multi_hot", separator = "|", max_length = 2 }'}
    joined = pl.col("tags").list.eval(pl.element().cast(pl.String)).list.join(" |")
    found = prepared(shop_log().with_columns(tags=joined), feature)
    lists = prepared(shop_log(), {"tags": '{ kind = "multi_hot", max_length = 2 }'})
    assert train(found, "id.tags").to_list() == train(lists, "id.tags").to_list()


def test_a_text_without_a_separator_is_told_of_it() -> None:
    problem = refused(shop_log().with_columns(tags=pl.lit("a|b")), TAGS)
    assert problem.endswith('a list of text or whole numbers a row, or text with a `separator`, such as "|"')
    problem = refused(shop_log(), {"tags": '{ kind = "multi_hot", separator = "|" }'})
    assert problem.endswith('with `separator = "|"` a multi-hot is text')


@pytest.mark.parametrize(
    "largest", [1.7976931348623157e308, -1.7976931348623157e308, 1e155, float(np.finfo(np.float64).max) / 2]
)
def test_numbers_without_a_scale_are_refused_with_the_fix(largest: float) -> None:
    log = shop_log().with_columns(price=pl.when(ODD).then(largest).otherwise("price"))
    problem = refused(log)
    assert re.search(
        rf"feature `price` goes from .*{re.escape(f'{largest:.15g}')}.*, beyond 1e\+140; declare `clip`", problem
    )


@pytest.mark.parametrize(
    "more", ["clip = [0.0, 100.0]", "log1p = true", "clip = [0.0, 1e100], raw = true, value = false"]
)
def test_a_clipped_number_has_a_scale(more: str) -> None:
    log = shop_log().with_columns(price=pl.when(ODD).then(1.7976931348623157e308).otherwise("price"))
    write(log)
    config = shop_config(changes={"buckets = 8": f"buckets = 8, {more}"})
    found = prepare(config)
    assert found.rows == ROWS
    assert all(
        np.isfinite([scale.mean, scale.deviation, *scale.edges]).all() for scale in found.encoder().scales.values()
    )


def test_a_number_given_as_it_is_fits_into_float32() -> None:
    write(shop_log().with_columns(price=pl.when(ODD).then(1e39).otherwise("price")))
    with pytest.raises(InputError, match=r"feature `price` goes from .* to 1e\+39, beyond 3e\+38; declare `clip`"):
        prepare(shop_config(changes={"buckets = 8": "raw = true"}))


@pytest.mark.parametrize("factor", [1e-200, 5e-324, 1e139 / 1000])
def test_numbers_near_the_ends_are_standardised(factor: float) -> None:
    found = prepared(shop_log().with_columns(price=pl.col("price").round() * factor))
    values = train(found, "value.price")
    assert values.is_finite().all()
    assert values.n_unique() > 5 or factor == 5e-324


@pytest.mark.parametrize("kind", ["ms", "us", "ns"])
def test_javas_largest_number_is_no_time(kind: str) -> None:
    never = pl.lit(2**63 - 1).cast(pl.Datetime(kind))  # type: ignore[arg-type]
    log = shop_log().with_columns(pl.col("ts").cast(pl.Datetime(kind)))  # type: ignore[arg-type]
    log = log.with_columns(last=pl.when(ODD).then(never).otherwise("ts"))
    found = prepared(
        log,
        {
            "wait": '{ kind = "numeric", column = "ts", until = "last" }',
            "hour": '{ kind = "time", column = "last", part = "hour" }',
        },
    )
    assert found.rows == ROWS
    assert train(found, "value.wait").is_finite().all()
