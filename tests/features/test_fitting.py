"""A fit that continues an earlier one: known values keep their ids, new values are added."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.encoder import Encoder
from features.fitting import Fitter, Learnt, fit
from features.spec import FeatureSpec
from tests.conftest import fitted, vocabularies

VALUES = st.lists(st.sampled_from(["a", "b", "c", "d", "e", None]), max_size=12)


def spec(**city: int) -> FeatureSpec:
    features = {
        "city": {"kind": "categorical", "table": "places", **city},
        "seen": {"kind": "multi_hot", "table": "places", **city},
        "price": {"kind": "numeric", "buckets": 3},
    }
    return FeatureSpec.model_validate({"features": features, "tasks": {"y": {"positive": "y = 1"}}})


def rows(cities: Sequence[str | None]) -> pl.DataFrame:
    lists = [[city, "z"] if city and city < "c" else None for city in cities]
    columns = {"city": cities, "seen": lists, "price": [float(i) for i in range(len(cities))], "y": [1] * len(cities)}
    return pl.DataFrame(columns, {"city": pl.String, "seen": pl.List(pl.String), "price": pl.Float64, "y": pl.Int8})


def go_on(declared: FeatureSpec, *days: Sequence[str | None]) -> tuple[Encoder, pl.DataFrame]:
    """The fit of some rows, added to by others, one after another."""
    learnt, seen = None, 0
    for cities in days:
        frame = rows(cities)
        fitter = Fitter(declared, frame.schema, frame.height, learnt)
        fitter.update(frame)
        seen += frame.height
        learnt = Learnt(fitter.finish(), fitter.pending(), seen)
    assert learnt is not None
    return learnt.encoder, learnt.pending


@given(VALUES, VALUES, VALUES)
def test_day_by_day_the_vocabulary_is_that_of_all_days(
    first: list[str | None], second: list[str | None], third: list[str | None]
) -> None:
    encoder, pending = go_on(spec(), first, second, third)
    assert vocabularies(encoder) == vocabularies(fit(spec(), rows([*first, *second, *third]).lazy()))
    assert pending.is_empty()


@settings(max_examples=40)
@given(VALUES, VALUES, st.integers(1, 4))
def test_a_value_is_known_once_all_days_have_it_often_enough(
    first: list[str | None], second: list[str | None], least: int
) -> None:
    declared = spec(min_count=least)
    before, _ = go_on(declared, first)
    after, pending = go_on(declared, first, second)
    whole = fit(declared, rows([*first, *second]).lazy())
    known = vocabularies(after)["places"]
    assert known[: len(before.vocabularies["places"])] == vocabularies(before)["places"]
    assert sorted(known) == sorted(vocabularies(whole)["places"])
    assert not set(pending.get_column("value")) & set(known)


def test_scales_and_buckets_stay() -> None:
    before, _ = go_on(spec(), ["a"] * 9)
    after, _ = go_on(spec(), ["a"] * 9, ["b"] * 500)
    assert after.scales == before.scales
    assert fitted(after) != fitted(before)


def test_a_full_vocabulary_takes_nothing_more() -> None:
    declared = spec(max_size=2)
    encoder, pending = go_on(declared, ["a", "a", "d"], ["b", "b", "b", "b"])
    assert vocabularies(encoder) == {"places": ("a", "z")}
    assert pending.get_column("value").to_list() == ["d", "b"]


@pytest.mark.parametrize(("values", "expected"), [(1, 3 + 4), (4, 3 + 4), (5, 3 + 8)])
def test_a_table_has_rows_to_grow_into(values: int, expected: int) -> None:
    encoder = fit(spec(grow_by=4), rows(["c", "d", "e", "f", "g"][:values]).lazy())
    assert [table.rows for table in encoder.tables() if table.name == "places"] == [expected]
