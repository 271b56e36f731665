"""Each kind of feature on rows that show its edges, through fit, save, load and encode."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from features.contract import check_features
from features.encoder import Encoder, usual_width
from features.fitting import Fitter, fit
from features.spec import FeatureSpec
from features.transforms import FIRST_KNOWN, NULL, OUT_OF_VOCABULARY
from tests.conftest import fitted, vocabularies

ROWS = pl.DataFrame(
    {
        "tags": [["a", "b", "a"], ["b", None, "c"], [], None],
        "strength": [[1.0, 3.0, -2.0], [2.0, 5.0, float("nan")], [], None],
        "seen": [[1, 2], [2], [3, 2, 1], None],
        "item": [2, 1, 4, None],
        "user": ["x", "y", "x", None],
        "at": [datetime(2026, 1, 5, 23, 59), datetime(2026, 12, 6, 0, 0), None, datetime(2026, 3, 4, 12)],
        "last": [datetime(2026, 1, 5, 22, 59), datetime(2026, 12, 8, 0, 0), None, None],
        "price": [-5.0, 1.0, 500.0, None],
        "bought": [1, 0, None, 1],
        "clicked": [True, True, True, False],
    }
)


def spec(task: dict[str, Any] | None = None, **features: dict[str, Any]) -> FeatureSpec:
    return FeatureSpec.model_validate({"features": features, "tasks": {"y": task or {"positive": "bought = 1"}}})


def encoded(declared: FeatureSpec, rows: pl.DataFrame = ROWS, folder: Path | None = None) -> dict[str, list[Any]]:
    encoder = fit(declared, ROWS.lazy())
    if folder is not None:
        encoder.save(folder)
        assert fitted(Encoder.load(folder)) == fitted(encoder)
    return encoder.encode_features(rows.lazy()).collect().to_dict(as_series=False)


def test_a_multi_hot_is_a_list_of_ids_and_nothing_is_the_id_of_null(tmp_path: Path) -> None:
    found = encoded(spec(tags={"kind": "multi_hot", "pooling": "sum"}), folder=tmp_path)
    a, b, c = FIRST_KNOWN, FIRST_KNOWN + 1, FIRST_KNOWN + 2
    assert found == {"id.tags": [[a, b, a], [b, c], [NULL], [NULL]]}


@pytest.mark.parametrize(
    ("pooling", "first", "second"), [("sum", [1, 3, 0], [2, 5, 0]), ("mean", [0.25, 0.75, 0], [2 / 7, 5 / 7, 0])]
)
def test_weights_beside_entries(pooling: str, first: list[float], second: list[float]) -> None:
    found = encoded(spec(tags={"kind": "multi_hot", "weights": "strength", "pooling": pooling}))
    assert [len(ids) for ids in found["id.tags"]] == [3, 3, 1, 1]
    assert found["id.tags"][1][1] == NULL
    assert found["weight.tags"] == [pytest.approx(first), pytest.approx(second), [1.0], [1.0]]


@pytest.mark.parametrize("weights", [None, "strength"])
@pytest.mark.parametrize("form", ["null", "empty"])
def test_a_request_whose_lists_have_no_type(weights: str | None, form: str) -> None:
    encoder = fit(spec(tags={"kind": "multi_hot", "weights": weights}), ROWS.lazy())
    request = pl.DataFrame({"tags": [None] if form == "null" else [[]]}).with_columns(strength="tags")
    found = encoder.encode_features(request.lazy()).collect()
    given = {} if weights is None else {"weight.tags": [[1.0]]}
    assert found.to_dict(as_series=False) == {"id.tags": [[NULL]], **given}


def test_a_request_in_double_precision_falls_into_the_bucket_of_its_training_row() -> None:
    rows = ROWS.with_columns(price=pl.Series([0.1, 0.3, 0.7, 0.9], dtype=pl.Float32))
    encoder = fit(spec(price={"kind": "numeric", "buckets": 4}), rows.lazy())
    trained = encoder.encode_features(rows.lazy()).collect()
    request = pl.DataFrame({"price": [0.1, 0.3, 0.7, 0.9]})
    assert encoder.encode_features(request.lazy()).collect().equals(trained)


def test_a_list_is_cut_to_its_first_entries() -> None:
    declared = spec(tags={"kind": "multi_hot", "weights": "strength", "pooling": "sum", "max_length": 2})
    found = encoded(declared)
    assert [len(ids) for ids in found["id.tags"]] == [2, 2, 1, 1]
    assert found["weight.tags"][0] == [1.0, 3.0]
    assert vocabularies(fit(declared, ROWS.lazy())) == {"tags": ("a", "b")}


def test_features_that_share_a_table_share_its_vocabulary() -> None:
    declared = spec(
        price={"kind": "numeric"},
        item={"kind": "categorical", "table": "items"},
        user={"kind": "categorical"},
        seen={"kind": "multi_hot", "table": "items", "pooling": "sum"},
    )
    encoder = fit(declared, ROWS.lazy())
    assert vocabularies(encoder) == {"items": ("2", "1", "4", "3"), "user": ("x", "y")}
    assert declared.id_features == ["price", "item", "seen", "user"]
    assert [(t.name, t.features) for t in encoder.tables()] == [
        ("price", ("price",)),
        ("items", ("item", "seen")),
        ("user", ("user",)),
    ]
    found = encoded(declared)
    assert found["id.item"] == [FIRST_KNOWN, FIRST_KNOWN + 1, FIRST_KNOWN + 2, NULL]
    assert found["id.seen"] == [[4, 3], [3], [6, 3, 4], [NULL]]


def test_sharing_a_table_with_another_shape_is_refused() -> None:
    item = {"kind": "categorical", "table": "items", "min_count": 2}
    with pytest.raises(ValidationError, match="features `item` and `seen` share a table"):
        spec(item=item, seen={"kind": "multi_hot", "table": "items"})


def test_the_largest_vocabulary_keeps_the_most_frequent_values() -> None:
    assert vocabularies(fit(spec(tags={"kind": "multi_hot", "max_size": 2}), ROWS.lazy())) == {"tags": ("a", "b")}
    assert vocabularies(fit(spec(seen={"kind": "multi_hot", "min_count": 2}), ROWS.lazy())) == {"seen": ("1", "2")}


def test_a_hash_needs_no_vocabulary_and_is_the_same_for_ever() -> None:
    declared = spec(
        item={"kind": "categorical", "buckets": 10}, seen={"kind": "multi_hot", "buckets": 10, "pooling": "sum"}
    )
    assert vocabularies(fit(declared, ROWS.lazy())) == {}
    found = encoded(declared)
    assert found["id.item"] == HASHED
    assert found["id.seen"][0] == [found["id.item"][1], found["id.item"][0]]
    assert all(FIRST_KNOWN <= i < FIRST_KNOWN + 10 for ids in found["id.seen"][:3] for i in ids)


HASHED = [4, 3, 12, NULL]


def test_a_cross_is_null_where_one_is_and_keeps_texts_apart() -> None:
    declared = spec(pair={"kind": "cross", "columns": ["user", "item"], "buckets": 1000})
    rows = pl.DataFrame({"user": ["ab", "a", "a", None, "ab"], "item": [1, 1, None, 1, 1]})
    found = encoded(declared, rows)["id.pair"]
    assert found[2] == found[3] == NULL
    assert found[0] == found[4] != found[1]
    apart = pl.DataFrame({"user": ["a1", "a"], "item": [2, 12]})
    assert len(set(encoded(declared, apart)["id.pair"])) == 2


@pytest.mark.parametrize(
    ("part", "expected"),
    [("hour", [26, 3, NULL, 15]), ("weekday", [3, 9, NULL, 5]), ("month", [3, 14, NULL, 5])],
)
@pytest.mark.parametrize("form", ["datetime", "zoned", "text"])
def test_parts_of_a_timestamp(part: str, expected: list[int], form: str) -> None:
    forms = {
        "datetime": pl.col("at"),
        "zoned": pl.col("at").dt.replace_time_zone("UTC"),
        "text": pl.col("at").dt.to_string("iso:strict"),
    }
    declared = spec(at={"kind": "time", "part": part})
    assert encoded(declared, ROWS.with_columns(forms[form]))["id.at"] == expected
    (table,) = fit(declared, ROWS.lazy()).tables()
    assert max(expected) < table.rows


def test_recency_is_hours_until() -> None:
    found = encoded(spec(last={"kind": "numeric", "until": "at", "raw": True, "buckets": 2}))
    assert found["value.last"] == [1.0, -48.0, 0.0, 0.0]
    assert found["id.last"][2:] == [NULL, NULL]


def test_numbers_are_clipped_before_anything_else() -> None:
    found = encoded(spec(price={"kind": "numeric", "clip": [0, 10], "raw": True}))
    assert found["value.price"] == [0.0, 1.0, 10.0, 0.0]
    with pytest.raises(ValidationError, match="a lower and a higher number"):
        spec(price={"kind": "numeric", "clip": [10, 0]})


def test_a_task_is_unknown_outside_its_space_and_its_answer_is_no_feature() -> None:
    task = {"positive": "bought = 1", "where": "clicked"}
    declared = spec(task, clicked={"kind": "categorical"})
    labels = fit(declared, ROWS.lazy()).encode(ROWS.lazy()).collect().get_column("label.y")
    assert labels.to_list() == [1, 0, None, None]
    with pytest.raises(ValidationError, match="`bought`, which is what task `y` is read from"):
        spec(task, bought={"kind": "categorical"})


def test_wrong_types_are_named_with_their_rule() -> None:
    declared = spec(
        tags={"kind": "multi_hot", "weights": "strength"},
        at={"kind": "time", "part": "hour"},
        pair={"kind": "cross", "columns": ["user", "price"], "buckets": 5},
        last={"kind": "numeric", "until": "at"},
    )
    wrong = {
        "tags": pl.String(),
        "strength": pl.List(pl.String()),
        "at": pl.Int64(),
        "user": pl.String(),
        "price": pl.Date(),
    }
    problems = check_features(declared, pl.Schema(wrong | {"last": pl.Date()}), "the table")
    assert len(problems) == 5
    for part in (
        "`tags`",
        "`strength`",
        "list of numbers",
        "`price` (feature `pair`)",
        "`at` (feature `at`)",
        "`at` (feature `last`)",
    ):
        assert part in " ".join(problems)


def test_width_grows_with_the_table() -> None:
    assert [usual_width(rows) for rows in (5, 100, 10_000, 1_000_000, 10**9)] == [4, 8, 32, 64, 64]


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_frames_one_after_another_fit_as_one_frame_does(chunk: int) -> None:
    declared = spec(
        item={"kind": "categorical", "table": "items"},
        seen={"kind": "multi_hot", "table": "items"},
        price={"kind": "numeric", "buckets": 3},
    )
    fitter = Fitter(declared, ROWS.schema, ROWS.height)
    for start in range(0, ROWS.height, chunk):
        fitter.update(ROWS[start : start + chunk])
    parts, whole = fitter.finish(), fit(declared, ROWS.lazy())
    assert vocabularies(parts) == vocabularies(whole)
    assert parts.scales["price"].edges == whole.scales["price"].edges
    assert parts.scales["price"].mean == pytest.approx(whole.scales["price"].mean)
    assert parts.scales["price"].deviation == pytest.approx(whole.scales["price"].deviation)


def test_dates_have_parts_too() -> None:
    rows = ROWS.with_columns(at=pl.Series([date(2026, 1, 4)] * 4))
    assert encoded(spec(at={"kind": "time", "part": "weekday"}), rows)["id.at"] == [9] * 4
    zoned = rows.with_columns(at=pl.Series([datetime(2026, 1, 4, 5, tzinfo=UTC)] * 4))
    assert encoded(spec(at={"kind": "time", "part": "hour"}), zoned)["id.at"] == [8] * 4
    assert OUT_OF_VOCABULARY < FIRST_KNOWN
