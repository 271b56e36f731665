"""Fitting, ids, round trips, and the parity of training and serving."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.contract import check_table
from features.encoder import Encoder
from features.errors import InputError
from features.fitting import fit
from features.spec import FeatureSpec
from features.transforms import FIRST_KNOWN, NULL, OUT_OF_VOCABULARY, bucket_edges, bucket_id
from tests.conftest import fitted, vocabularies

ROWS = pl.DataFrame(
    {
        "city": ["b", "a", None, "b", "c"],
        "shop": [30, 10, 10, None, 20],
        "price": [0.0, 0.0, 5.0, None, float("inf")],
        "action": ["buy", None, "view", "buy", "view"],
    }
)


def spec(**changes: Any) -> FeatureSpec:
    features: dict[str, Any] = {
        "city": {"kind": "categorical"},
        "shop": {"kind": "categorical", "width": 4},
        "price": {"kind": "numeric", "log1p": True, "buckets": 3},
    }
    return FeatureSpec.model_validate(
        {"features": features, "tasks": {"bought": {"positive": "action IN ('buy', 'pay')"}}} | changes
    )


def encoded(encoder: Encoder, rows: pl.DataFrame) -> dict[str, list[Any]]:
    return encoder.encode_features(rows.lazy()).collect().to_dict(as_series=False)


def test_vocabulary_is_in_first_seen_order_after_the_special_ids() -> None:
    encoder = fit(spec(), ROWS.lazy())
    assert vocabularies(encoder) == {"city": ("b", "a", "c"), "shop": ("30", "10", "20")}
    assert encoded(encoder, ROWS)["id.city"] == [FIRST_KNOWN, FIRST_KNOWN + 1, NULL, FIRST_KNOWN, FIRST_KNOWN + 2]
    assert [(t.name, t.rows, t.width) for t in encoder.tables()] == [("city", 6, 4), ("shop", 6, 4), ("price", 5, 4)]


def test_unseen_values_are_out_of_vocabulary_and_unknown_numbers_null() -> None:
    encoder = fit(spec(), ROWS.lazy())
    rows = pl.DataFrame({"city": ["zz", ""], "shop": [99, None], "price": [None, float("nan")]})
    found = encoded(encoder, rows.cast({"price": pl.Float64}))
    assert found["id.city"] == [OUT_OF_VOCABULARY] * 2
    assert found["id.shop"] == [OUT_OF_VOCABULARY, NULL]
    assert found["id.price"] == [NULL, NULL]
    assert found["value.price"] == [0.0, 0.0]


def test_every_id_is_a_row_of_its_table() -> None:
    encoder = fit(spec(), ROWS.lazy())
    rows = pl.DataFrame({"city": ["b", "x", None], "shop": [10, 77, None], "price": [-1e300, 1e300, 2.5]})
    found = encoded(encoder, rows)
    for table in encoder.tables():
        assert all(0 < i < table.rows for i in found[f"id.{table.name}"])


def test_min_count_trains_the_out_of_vocabulary_row() -> None:
    rare = spec(features={"city": {"kind": "categorical", "min_count": 2}})
    assert vocabularies(fit(rare, ROWS.lazy())) == {"city": ("b",)}


def test_values_are_standardised_after_a_signed_log() -> None:
    found = encoded(fit(spec(), ROWS.lazy()), ROWS)["value.price"]
    known = np.log1p([0.0, 0.0, 5.0])
    expected = (known - known.mean()) / known.std()
    np.testing.assert_allclose(found[:3], expected, rtol=1e-6)
    assert found[3:] == [0.0, 0.0]


def test_null_labels_stay_null() -> None:
    labels = fit(spec(), ROWS.lazy()).encode(ROWS.lazy()).collect().get_column("label.bought")
    assert labels.to_list() == [1, None, 0, 1, 0]


@pytest.mark.parametrize("constant", [None, 0.1, 7.3, 1e300])
def test_a_constant_or_empty_column_is_not_blown_up(constant: float | None) -> None:
    rows = pl.concat([ROWS] * 200).with_columns(price=pl.lit(constant, pl.Float64))
    found = encoded(fit(spec(), rows.lazy()), ROWS)
    centre = np.log1p(constant or 0.0)
    assert found["value.price"][:3] == pytest.approx([-centre, -centre, np.log1p(5.0) - centre], abs=1e-4)


def test_a_far_outlier_stays_finite() -> None:
    encoder = fit(spec(features={"price": {"kind": "numeric"}}), ROWS.lazy())
    found = encoded(encoder, pl.DataFrame({"price": [1e300, -1e300]}))["value.price"]
    assert found == [1e6, -1e6]


def test_nan_in_a_label_source_is_unknown() -> None:
    rows = ROWS.with_columns(spent=pl.Series([1.0, float("nan"), None, 0.0, 2.0]))
    task = {"task": {"positive": "spent > 0.5"}, "not": {"positive": "spent <> 1.0"}}
    labels = fit(spec(tasks=task), rows.lazy()).encode(rows.lazy()).collect()
    assert labels.get_column("label.task").to_list() == [1, None, None, 0, 1]
    assert labels.get_column("label.not").to_list() == [0, None, None, 1, 1]


def test_round_trip_through_files(tmp_path: Path) -> None:
    encoder = fit(spec(), ROWS.lazy())
    encoder.save(tmp_path / "encoder")
    loaded = Encoder.load(tmp_path / "encoder")
    assert fitted(loaded) == fitted(encoder)
    assert sorted(p.name for p in (tmp_path / "encoder").iterdir()) == ["encoder.json", "vocabulary.parquet"]


def test_one_request_is_encoded_as_its_training_row_was(tmp_path: Path) -> None:
    """A request comes alone, through pandas, where integers with gaps are floats."""
    encoder = fit(spec(), ROWS.lazy())
    encoder.save(tmp_path)
    served, trained = Encoder.load(tmp_path), encoder.encode_features(ROWS.lazy()).collect()
    frame = ROWS.drop("action").to_pandas()
    assert frame["shop"].dtype == np.float64
    for i in range(len(frame)):
        request = pl.from_pandas(frame.iloc[[i]].reset_index(drop=True))
        pl.testing.assert_frame_equal(served.encode_features(request.lazy()).collect(), trained[i])


@settings(max_examples=50)
@given(values=st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1, max_size=30))
def test_known_text_gets_distinct_ids_and_comes_back(values: list[str | None]) -> None:
    text = FeatureSpec.model_validate(
        {"features": {"t": {"kind": "categorical"}}, "tasks": {"y": {"positive": "u = 'x'"}}}
    )
    rows = pl.DataFrame({"t": pl.Series(values, dtype=pl.String)})
    encoder = fit(text, rows.lazy())
    ids = encoded(encoder, rows)["id.t"]
    back = {FIRST_KNOWN + i: v for i, v in enumerate(encoder.vocabularies["t"])} | {NULL: None}
    assert [back[i] for i in ids] == values


@settings(max_examples=50)
@given(
    values=st.lists(st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=200),
    buckets=st.integers(1, 20),
)
def test_bucket_edges_are_increasing_and_few(values: list[float], buckets: int) -> None:
    edges = bucket_edges(pl.Series(values, dtype=pl.Float64), buckets)
    assert edges == sorted(set(edges))
    heavy = sum(1 for v in set(values) if values.count(v) * buckets > len(values))
    assert len(edges) <= buckets + 2 * heavy
    counts = np.bincount(np.searchsorted(edges, values, side="right"))
    assert (counts > 0).all(), "a bucket that no training row falls in is never trained"


def test_a_value_that_most_rows_hold_gets_a_bucket_alone() -> None:
    values = pl.Series([0.0] * 900 + [float(i) for i in range(1, 101)])
    edges = bucket_edges(values, 10)
    assert edges[0] == 1.0
    assert len(edges) >= 8
    ids = pl.DataFrame({"x": [-1.0, 0.0, 1.0, 1000.0]}).select(bucket_id(pl.col("x"), edges)).to_series().to_list()
    assert ids == [FIRST_KNOWN, FIRST_KNOWN, FIRST_KNOWN + 1, FIRST_KNOWN + len(edges)]


def test_heavy_values_are_told_apart_from_many_rows() -> None:
    """A count times the number of buckets is more than 32 bits."""
    values = pl.concat([pl.Series([0.0]).new_from_index(0, 1 << 20), pl.int_range(1, 1 << 17, eager=True).cast(float)])
    assert len(bucket_edges(values, 4096)) > 3500


def test_a_fraction_is_not_taken_for_the_integer_below() -> None:
    encoder = fit(spec(), ROWS.lazy())
    rows = pl.DataFrame({"city": ["a"] * 4, "shop": [10.0, 10.5, float("inf"), 30.0], "price": [1.0] * 4})
    assert encoded(encoder, rows)["id.shop"] == [FIRST_KNOWN + 1, OUT_OF_VOCABULARY, NULL, FIRST_KNOWN]


def test_every_problem_of_a_table_is_named_at_once() -> None:
    rows = pl.DataFrame({"city": [date(2026, 1, 31)], "price": ["x"], "action": ["buy"]})
    problems = check_table(spec(), rows.schema, "the table")
    assert len(problems) == 3
    message = "\n".join(problems)
    for part in (
        "`shop`",
        "is missing",
        "`city` (feature `city`) holds Date",
        "`price`",
    ):
        assert part in message


def test_dates_are_no_categories() -> None:
    """Their text depends on the table format: trained on "2024-02-17", a server is given "2024-02-17 00:00:00.000"."""
    rows = ROWS.with_columns(city=pl.lit("2024-02-17").str.to_date())
    (problem,) = check_table(spec(), rows.schema, "the table")
    assert "holds Date" in problem


@pytest.mark.parametrize("positive", ["price", "action", "price = 'x'", "nowhere = 1"])
def test_a_label_that_is_no_truth_value_is_refused(positive: str) -> None:
    wrong = spec(features={"city": {"kind": "categorical"}}, tasks={"y": {"positive": positive}})
    (problem,) = check_table(wrong, ROWS.schema, "the table")
    assert "`y`" in problem


def test_encoding_names_missing_columns() -> None:
    encoder = fit(spec(), ROWS.lazy())
    with pytest.raises(InputError, match=r"2 problem(?s:.*)`shop`(?s:.*)`price`"):
        encoder.encode_features(pd.DataFrame({"city": ["a"]}).pipe(pl.from_pandas).lazy())


def test_a_group_is_the_number_of_its_text_and_none_where_unknown() -> None:
    numbers = []
    for values in ([3, 10, None, 3], ["3", "10", None, "3"], [3.0, 10.0, float("nan"), 3.0]):
        rows = ROWS.head(4).with_columns(who=pl.Series(values))
        frame = fit(spec(group="who"), rows.lazy()).encode(rows.lazy()).collect()
        numbers.append(frame.get_column("group").to_list())
    assert numbers[0] == numbers[1] == numbers[2]
    three, ten, unknown, again = numbers[0]
    assert three == again != ten
    assert unknown is None
    assert min(three, ten) >= 0
