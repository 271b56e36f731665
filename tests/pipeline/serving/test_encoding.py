"""Requests are encoded as the expressions encode files, to the bit, by whatever way their columns come."""

from __future__ import annotations

from functools import cache
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.encoder import Encoder
from features.errors import InputError
from features.fitting import fit
from features.request.xxhash import hashes
from features.spec import FeatureSpec
from features.transforms import stable_hash
from pipeline.serving.columns import RequestRows
from pipeline.serving.encoding import RowEncoder
from tests.pipeline.serving.both_ways import assert_same, by_expressions
from tests.pipeline.serving.requests_at_random import encoder, requests

MOMENTS = ["2026-01-31T18:30:00", "2026-01-05", "2026-01-31 18:30:00.25+02:00", "never", None]


@cache
def made() -> Encoder:
    """An encoder of every kind of feature."""
    features = {
        "city": {"kind": "categorical"},
        "user": {"kind": "categorical", "buckets": 50},
        "pair": {"kind": "cross", "columns": ["city", "user"], "buckets": 100},
        "tags": {"kind": "multi_hot", "weights": "strength"},
        "hour": {"kind": "time", "column": "at", "part": "hour"},
        "age": {"kind": "numeric", "column": "joined", "until": "at", "log1p": True},
        "price": {"kind": "numeric", "optional": True},
    }
    spec = FeatureSpec.model_validate({"features": features, "tasks": {"y": {"positive": "y = 1"}}})
    rows = pl.DataFrame({**COLUMNS, "price": pl.Series([1.5, 2.0, None, 7.25, 0.1], dtype=pl.Float32), "y": [1] * 5})
    return fit(spec, rows.lazy())


COLUMNS: dict[str, list[Any]] = {
    "city": ["Lima", "Oslo", None, "11", "true"],
    "user": ["user 3", "x" * 70, "", "é漢", None],
    "tags": [["red", "new"], [], None, ["red", None, "old"], ["big"]],
    "strength": [[1.0, 0.5], [], [1.0], None, [-1]],
    "at": MOMENTS,
    "joined": ["2025-06-01T00:00:00"] * 5,
    "price": [12.5, None, float("nan"), 0.1, 1e300],
}


def typed(kind: str, columns: dict[str, list[Any]]) -> dict[str, Any]:
    """The columns as JSON, pandas or Arrow has them."""
    if kind == "json":
        return columns
    arrays = {name: pa.array(values, from_pandas=True) for name, values in columns.items()}
    return arrays if kind == "arrow" else {name: pd.Series(array.to_pandas()) for name, array in arrays.items()}


FORMS: dict[str, dict[str, list[Any]]] = {
    "as trained": {},
    "numbers for texts": {"city": [11, 3, None, 1, 2**53], "user": [7, None, -1, 0, 2**53]},
    "floats for texts": {"city": [11.0, 1.5, None, -0.0, 2.0**53], "user": [0.1, 3.0, None, float("inf"), 1e15]},
    "truths": {"city": [True, False, None, True, False], "user": [True, None, False, False, True]},
    "other names": {"city": ["11.0", "-0.0", "false", "007", "00FF4142-0000-1000-8000-00805F9B34FB"]},
    "integers for floats": {"price": [1, 2, None, 0, -(2**63)]},
    "nothing": {name: [None] * 5 for name in COLUMNS},
    "empty lists": {"tags": [[]] * 5, "strength": [[]] * 5},
}


@pytest.mark.parametrize("way", ["json", "pandas", "arrow"])
@pytest.mark.parametrize("form", FORMS)
def test_usual_requests_are_read_without_expressions_and_alike(form: str, way: str) -> None:
    columns = {**COLUMNS, **FORMS[form]}
    assert assert_same(made(), RequestRows.of(typed(way, columns)))
    for place in range(0, 5, 2):
        row = {name: values[place : place + 1] for name, values in columns.items()}
        assert assert_same(made(), RequestRows.of(typed(way, row)))


@pytest.mark.parametrize("shared", ["city", "user at", "tags", "strength", "tags strength", "joined at"])
def test_one_value_holds_for_all_rows(shared: str) -> None:
    columns = {**COLUMNS, "tags": [["red", "new"]] * 5, "strength": [[0.5, 2.0]] * 5}
    columns |= {name: columns[name][:1] for name in shared.split()}
    assert assert_same(made(), RequestRows(columns, 5))


def test_an_optional_column_may_be_left_out() -> None:
    assert assert_same(made(), RequestRows.of({n: values for n, values in COLUMNS.items() if n != "price"}))


REFUSED: dict[str, dict[str, Any]] = {
    "a text for a number": {"price": ["cheap"] * 5},
    "numbers for times": {"at": [1769884200] * 5},
    "categories for times": {"at": pd.Series(["2026-01-31"] * 5, dtype="category")},
    "weights of the wrong length": {"strength": [[1.0]] * 5},
    "texts for weights": {"strength": [["much"]] * 5},
    "lists in lists": {"tags": [[[1]]] * 5},
    "a list for a category": {"city": [["Lima"]] * 5},
    "mixed types": {"city": ["Lima", 1, None, None, None]},
    "half a surrogate": {"city": ["\ud800"] * 5},
    "times for categories": {"city": pd.Series(pd.to_datetime(["2026-01-31"] * 5))},
}


@pytest.mark.parametrize("wrong", [*REFUSED, "a column less", "a required value less"])
def test_the_expressions_refuse_what_the_forms_do_not_read(wrong: str) -> None:
    encoder, columns = made(), {**COLUMNS, **REFUSED.get(wrong, {})}
    if wrong == "a column less":
        del columns["joined"]
    if wrong == "a required value less":
        content = encoder.spec.model_dump()
        content["features"]["city"]["required"] = True
        encoder = Encoder(FeatureSpec.model_validate(content), encoder.vocabularies, encoder.scales, encoder.dtypes)
    rows = RequestRows.of(columns)
    assert RowEncoder(encoder).of_request(rows) is None
    reason = by_expressions(encoder, rows)
    assert isinstance(reason, str)
    with pytest.raises(InputError) as caught:
        RowEncoder(encoder).window(rows)
    assert str(caught.value) == reason


@pytest.mark.parametrize("texts", [1, 200])
def test_hashes_are_those_of_the_expressions(texts: int) -> None:
    alphabet = "abc0é漢-"
    some = ["".join(alphabet[(n * k) % 7] for k in range(n % 70)) for n in range(texts)]
    expected = pl.DataFrame({"t": some}).select(stable_hash(pl.col("t"))).to_series()
    assert hashes(some).tolist() == expected.to_list()


def check(data: st.DataObject, seeds: int) -> None:
    made = encoder(data.draw(st.integers(0, seeds - 1)))
    assert_same(made, data.draw(requests(made)))


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_random_requests(data: st.DataObject) -> None:
    check(data, 30)


@pytest.mark.slow
@settings(max_examples=10_000, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_many_random_requests(data: st.DataObject) -> None:
    check(data, 2000)
