"""Logs that are awkward in one way each, made of the small shop's, with the labels that their user would name."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl

from tests.pipeline.small_shop import shop_log

ROWS = 900
LABELS = ("bought", "carted")


def prepared_logs() -> dict[str, pl.DataFrame]:
    """Logs that a draft takes as they are."""
    log, generator = shop_log(ROWS), np.random.default_rng(0)
    row = pl.col("click_id")
    sentences = [f"{' '.join(generator.choice(['red', 'big', 'shoe', 'of'], 8))} {n}" for n in range(ROWS)]
    return {
        "ids are floats with gaps": log.with_columns(
            pl.col("user_id", "item_id").cast(pl.Float64),
            country=pl.when(row % 7 > 0).then(pl.col("item_id").cast(pl.Float64)),
        ),
        "times are milliseconds": log.with_columns(pl.col("ts").dt.epoch("ms")),
        "times are seconds in floats": log.with_columns(pl.col("ts").dt.epoch("s").cast(pl.Float64)),
        "times are ISO texts": log.with_columns(pl.col("ts").dt.to_string("iso:strict")),
        "times are null here and there": log.with_columns(ts=pl.when(row % 9 > 0).then("ts")),
        "times have a zone": log.with_columns(pl.col("ts").dt.replace_time_zone("Asia/Tokyo")),
        "all rows are of one instant": log.with_columns(ts=pl.lit(datetime(2026, 1, 1))),
        "several columns have times": log.with_columns(
            signed_up=pl.col("ts") - pl.duration(days=pl.col("user_id")),
            delivered_at=pl.col("ts") + pl.duration(days=2),
            day=pl.col("ts").dt.date(),
        ),
        "everything is text": log.drop("tags").with_columns(pl.all().cast(pl.String)),
        "three hundred columns": wide_log(300),
        "columns are null": log.with_columns(
            a=pl.lit(None, pl.Float64), b=pl.lit(None), c=pl.lit(None, pl.List(pl.Int64)), price=pl.lit(None, pl.String)
        ),
        "columns have one value": log.with_columns(v=pl.lit(3), w=pl.lit("x"), x=pl.lit([1])),
        "numbers are NaN and infinite": log.with_columns(
            price=pl.when(row % 3 == 0).then(float("nan")).when(row % 3 == 1).then(float("inf")).otherwise("price")
        ),
        "structs and lists of lists": log.with_columns(
            s=pl.struct("price", "country"),
            of_structs=pl.concat_list(pl.struct("price")),
            of_lists=pl.Series([[[1, 2], [3]]] * ROWS),
        ),
        "names are Cyrillic": log.rename(
            {"item_id": "товар", "country": "страна", "price": "цена", "bought": "куплено", "click_id": "№ клика"}
        ),
        "names are words of SQL": log.rename({"country": "order by", "price": "group", "bought": "select"}),
        "names have quotes and points": log.rename({"country": 'a "b" c', "price": "x.y", "item_id": "# 1"}),
        "names differ in signs alone": log.with_columns(
            pl.col("country").alias("from?"),
            pl.col("country").alias("from!"),
            pl.col("price").alias("bought "),
            hour=pl.col("ts").dt.hour(),
        ),
        "labels are text": log.with_columns(
            bought=pl.col("bought").replace_strict({0: "no", 1: "yes"}, return_dtype=pl.String),
            carted=pl.when(pl.col("carted") == 1).then(pl.lit("it's in")).otherwise(pl.lit("left")),
        ),
        "labels are true or unknown": log.with_columns(bought=pl.when(row % 5 > 0).then(pl.col("bought") == 1)),
        "labels are counts": log.with_columns(pl.col("bought") * 3),
        "labels are 1 and 2": log.with_columns(pl.col("bought") + 1),
        "columns know the answer": log.with_columns(
            refund_amount=pl.col("bought") * pl.col("price"), basket=pl.col("carted") * 1.5
        ),
        "numbers and times are written as in Germany": german(log),
        "times are digits": log.with_columns(pl.col("ts").dt.to_string("%Y%m%d%H%M%S").cast(pl.Int64)),
        "a missing number is a word": log.with_columns(
            price=pl.when(row % 5 > 0).then(pl.col("price").cast(pl.String)).otherwise(pl.lit("n/a"))
        ),
        "lists are text": log.with_columns(pl.col("tags").cast(pl.List(pl.String)).list.join("|")),
        "texts are sentences": log.with_columns(review=pl.Series(sentences)),
        "types are rare": log.with_columns(
            user_id=pl.col("user_id").cast(pl.String).cast(pl.Binary),
            item_id=pl.col("item_id").cast(pl.Int128),
            big=pl.col("item_id").cast(pl.UInt64) + 2**63,
            country=pl.col("country").cast(pl.Categorical),
            price=pl.col("price").cast(pl.Decimal(10, 2)),
            gap=pl.col("ts").diff(),
            clock=pl.col("ts").dt.time(),
            vector=pl.concat_list("price", "price"),
            fixed=pl.concat_list("item_id", "user_id").cast(pl.Array(pl.Int64, 2)),
        ),
        "a hundred rows": log.head(100),
    }


def german(log: pl.DataFrame) -> pl.DataFrame:
    """The log with a decimal comma, and days before months."""
    price = pl.col("price").round(2).cast(pl.String).str.replace(".", ",", literal=True)
    return log.with_columns(price, pl.col("ts").dt.to_string("%d.%m.%Y %H:%M"))


def wide_log(columns: int) -> pl.DataFrame:
    """The log with further columns, of which every ninth holds fractions."""
    generator = np.random.default_rng(0)
    wide = [
        pl.Series(f"f{n}", generator.integers(0, 9, ROWS) if n % 9 else generator.random(ROWS)) for n in range(columns)
    ]
    return shop_log(ROWS).with_columns(wide)


def refused_logs() -> dict[str, tuple[pl.DataFrame, str]]:
    """Logs that cannot be trained on, each with words of its message."""
    log = shop_log(ROWS)
    return {
        "one row": (log.head(1), "these are no labels: 2 problem(s)"),
        "no row": (log.head(0), "`logs` has no rows in 1 file(s)"),
        "all null": (
            log.select(pl.lit(None, kind).alias(name) for name, kind in log.schema.items()),
            "no positive in 0",
        ),
        "a label has one value": (log.with_columns(bought=pl.lit(0)), "label `bought` (`bought = 1`) has no positive"),
        "a label has many texts": (
            log.with_columns(bought=pl.col("item_id").cast(pl.String)),
            "value(s), as '1', '10', '11', '12', '13', '14'; say which are positive: --label \"bought=bought = ...\"",
        ),
        "a label is a rating": (
            log.with_columns(bought=pl.col("item_id") % 5 + 1),
            'label `bought` has 5 value(s), as 1, 2, 3, 4, 5; say which are positive: --label "bought=bought = ..."',
        ),
        "a label is misspelt": (log.rename({"bought": "buoght"}), "no column `bought`; did you mean `buoght`?"),
        "labels alone": (log.select(*LABELS), "cannot be split"),
        "three positives": (log.with_columns(bought=(pl.col("click_id") < 2).cast(pl.Int8)), "cannot be split"),
    }
