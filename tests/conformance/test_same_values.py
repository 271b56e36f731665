"""The same values in other types and by other ways: as training rows, as a file, as JSON and through pandas."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import polars as pl
import polars.testing
import pytest
from mlflow.models.utils import _enforce_schema

from features.encoder import Encoder
from features.fitting import fit
from features.spec import FeatureSpec
from features.transforms import FIRST_KNOWN, NULL
from pipeline.files import parquet
from pipeline.registry.packaging import signature
from pipeline.serving.columns import frame_of
from pipeline.serving.requests import Limits, read_request

LARGE = [2**63 + 5, 2**64 - 1, 2**63, None, 2**63 + 5]
WHOLE = pl.Series([11, 3, 0, None, 11])
TRUTH = pl.Series([True, False, True, None, False])
BYTES = pl.Series([b"\x00\xffab", b"NL", b"\x7f", None, b"NL"])
UUIDS = [UUID(int=7), UUID(int=2**127 + 10), UUID(int=11), None, UUID(int=7)]
TIMES = pl.Series(
    [datetime(2026, 1, 31, 18, 30), datetime(2026, 1, 5, 3), datetime(1969, 7, 1), None, datetime(2026, 1, 1)]
)

# For each meaning the values in several types, the usual one first.
CATEGORIES: dict[str, dict[str, pl.Series]] = {
    "whole": {
        **{str(kind): WHOLE.cast(kind) for kind in (pl.Int64, pl.Int8, pl.UInt16, pl.UInt64, pl.Float64, pl.Float32)},
        **{str(kind): WHOLE.cast(kind) for kind in (pl.Decimal(20, 0), pl.Decimal(20, 2), pl.String)},
        "text with .0": WHOLE.cast(pl.Float64).cast(pl.String),
        "text with .00": WHOLE.cast(pl.Decimal(20, 2)).cast(pl.String),
        "text with a sign": pl.Series(["11.0", "3", "-0.0", None, "11"]),
        "category": WHOLE.cast(pl.String).cast(pl.Categorical),
        "enum": WHOLE.cast(pl.String).cast(pl.Enum(["0", "3", "11"])),
        "negative zero": pl.Series([11.0, 3.0, -0.0, None, 11.0]),
        "not a number": pl.Series([11.0, 3.0, 0.0, float("nan"), 11.0]),
    },
    "large": {
        "UInt64": pl.Series(LARGE, dtype=pl.UInt64),
        "text": pl.Series([None if one is None else str(one) for one in LARGE]),
        "Decimal": pl.Series([None if one is None else Decimal(one) for one in LARGE], dtype=pl.Decimal(38, 0)),
    },
    "truth": {
        "Boolean": TRUTH,
        "Int64": TRUTH.cast(pl.Int64),
        "Float64": TRUTH.cast(pl.Float64),
        "text": TRUTH.cast(pl.String),
        "text of numbers": TRUTH.cast(pl.Int8).cast(pl.String),
        "category": TRUTH.cast(pl.String).cast(pl.Categorical),
    },
    "bytes": {"Binary": BYTES, "text": BYTES.bin.encode("hex")},
    "uuid": {
        "Binary": pl.Series([None if one is None else one.bytes for one in UUIDS]),
        "text": pl.Series([None if one is None else str(one) for one in UUIDS]),
        "upper case": pl.Series([None if one is None else str(one).upper() for one in UUIDS]),
        "digits": pl.Series([None if one is None else one.hex for one in UUIDS]),
    },
}
NUMBERS: dict[str, dict[str, pl.Series]] = {
    "times": {
        **{f"Datetime({unit})": TIMES.cast(pl.Datetime(unit)) for unit in ("us", "ms", "ns")},
        "zoned": TIMES.dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Amsterdam"),
        "text": TIMES.dt.to_string("iso:strict"),
        "text with +00": TIMES.dt.to_string("%Y-%m-%d %H:%M:%S+00"),
        "text with Z": TIMES.dt.to_string("%Y-%m-%dT%H:%MZ"),
        "seconds": TIMES.dt.epoch("s"),
        "float seconds": TIMES.dt.epoch("s").cast(pl.Float64),
    },
    "numbers": {
        **{str(kind): WHOLE.cast(kind) for kind in (pl.Int64, pl.Int16, pl.UInt64, pl.Float64, pl.Float32)},
        "Decimal": WHOLE.cast(pl.Decimal(30, 3)),
        "infinite": pl.Series([11.0, 3.0, 0.0, float("inf"), 11.0]),
    },
}
ALL = {**CATEGORIES, **NUMBERS}
CASES = [(meaning, form) for meaning, forms in ALL.items() for form in forms]


def spec(meaning: str) -> FeatureSpec:
    """Every feature that can read the values, alone in column `c` or as lists in `l`."""
    if meaning == "times":
        features: dict[str, Any] = {
            part: {"kind": "time", "column": "c", "part": part, "unit": "s"} for part in ("hour", "weekday", "month")
        }
        features["since"] = {"kind": "numeric", "column": "c", "until": "now", "unit": "s"}
    elif meaning == "numbers":
        features = {"c": {"kind": "numeric", "buckets": 3}}
    else:
        features = {
            "c": {"kind": "categorical"},
            "rare": {"kind": "categorical", "column": "c", "min_count": 2},
            "hashed": {"kind": "categorical", "column": "c", "buckets": 1000},
            "pair": {"kind": "cross", "columns": ["c", "c"], "buckets": 1000},
            "l": {"kind": "multi_hot"},
            "shared": {"kind": "multi_hot", "column": "l", "buckets": 1000, "pooling": "sum"},
        }
    return FeatureSpec.model_validate({"features": features, "tasks": {"y": {"positive": "y = 1"}}})


def rows(meaning: str, form: str) -> pl.DataFrame:
    values = ALL[meaning][form].alias("c")
    frame = values.to_frame().with_columns(now=TIMES.reverse(), y=pl.int_range(pl.len()) % 2)
    if meaning in NUMBERS:
        return frame
    # The lists are those of the row and its neighbour, an empty one and none.
    lists = pl.concat_list("c", pl.col("c").shift(1))
    one = pl.int_range(pl.len())
    return frame.with_columns(l=pl.when(one == 1).then(lists.list.head(0)).when(one != 2).then(lists))


def encoded(encoder: Encoder, frame: pl.DataFrame) -> pl.DataFrame:
    return encoder.encode_features(frame.lazy()).collect()


def as_json(value: Any) -> Any:
    """A value as a caller writes it: JSON has no bytes, no moments, no decimals, and no NaN."""
    if isinstance(value, list):
        return [as_json(one) for one in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    if isinstance(value, date):
        return value.isoformat()
    return None if value != value or value in (float("inf"), float("-inf")) else value


def by_file(frame: pl.DataFrame, encoder: Encoder, folder: Path) -> pl.DataFrame:
    frame.write_parquet(folder / "asked.parquet")
    return parquet.collect(folder / "asked.parquet", parquet.scan(folder / "asked.parquet"))


def by_json(frame: pl.DataFrame, encoder: Encoder, folder: Path) -> pl.DataFrame:
    records = [{column: as_json(value) for column, value in row.items()} for row in frame.to_dicts()]
    return read_request(json.dumps({"inputs": records}).encode(), list(encoder.dtypes), Limits()).rows.frame()


def by_pandas(backend: str) -> Callable[[pl.DataFrame, Encoder, Path], pl.DataFrame]:
    def ask(frame: pl.DataFrame, encoder: Encoder, folder: Path) -> pl.DataFrame:
        """As MLflow hands a frame to `predict`, after it has held it against the model's signature."""
        frame.write_parquet(folder / "asked.parquet")
        backends: dict[str, Any] = {} if backend == "numpy" else {"dtype_backend": backend}
        table = pd.read_parquet(folder / "asked.parquet", columns=list(encoder.dtypes), **backends)
        given = _enforce_schema(table, signature(encoder, ["y"]).inputs)
        return frame_of({column: given[column] for column in encoder.dtypes})

    return ask


WAYS = {"file": by_file, "json": by_json, "pandas": by_pandas("numpy"), "pandas of pyarrow": by_pandas("pyarrow")}


@pytest.mark.parametrize(("meaning", "form"), CASES)
def test_training_rows_of_any_type_give_the_same_encoder(meaning: str, form: str) -> None:
    usual, other = (rows(meaning, name) for name in (next(iter(ALL[meaning])), form))
    encoders = [fit(spec(meaning), frame.lazy()) for frame in (usual, other)]
    assert {t: v.to_list() for t, v in encoders[0].vocabularies.items()} == {
        t: v.to_list() for t, v in encoders[1].vocabularies.items()
    }
    pl.testing.assert_frame_equal(encoded(encoders[1], other), encoded(encoders[0], usual))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("meaning", "form"), CASES)
def test_a_value_is_the_same_by_every_way(meaning: str, form: str, way: str, tmp_path: Path) -> None:
    if (meaning, form, way) == ("large", "UInt64", "pandas"):
        pytest.skip("pandas makes integers with gaps floats, whose last digits are lost")
    usual = rows(meaning, next(iter(ALL[meaning])))
    encoder = fit(spec(meaning), usual.lazy())
    asked = WAYS[way](rows(meaning, form), encoder, tmp_path)
    pl.testing.assert_frame_equal(encoded(encoder, asked), encoded(encoder, usual))


@pytest.mark.parametrize("meaning", CATEGORIES)
def test_these_values_are_known_and_told_apart(meaning: str) -> None:
    found = encoded(
        fit(spec(meaning), rows(meaning, next(iter(ALL[meaning]))).lazy()), rows(meaning, next(iter(ALL[meaning])))
    )
    ids = found.get_column("id.c").to_list()
    assert ids[3] == NULL
    assert min(ids[:3]) == FIRST_KNOWN
    assert len(set(ids)) == (3 if meaning == "truth" else 4)
    assert found.get_column("id.l").to_list()[1:3] == [[NULL], [NULL]]
