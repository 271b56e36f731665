"""Declarations that a spec accepts or refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from features.spec import FeatureSpec


def spec(**changes: Any) -> FeatureSpec:
    content: dict[str, Any] = {
        "features": {"city": {"kind": "categorical"}, "age": {"kind": "numeric", "buckets": 4}},
        "tasks": {"bought": {"positive": "action = 'buy' AND price > 0"}},
        "excluded": ["weight"],
    }
    return FeatureSpec.model_validate(content | changes)


def test_order_is_kept_and_kinds_are_told_apart() -> None:
    assert spec().id_features == ["city", "age"]
    assert spec().value_features == ["age"]
    assert spec().tasks["bought"].sources == ["action", "price"]


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"price": {"kind": "numeric"}}, "`price`, which is what task `bought` is read from"),
        ({"w": {"kind": "numeric", "column": "weight"}}, "`weight`, which is excluded"),
        ({"age": {"kind": "numeric", "value": False, "buckets": 0}}, "`value = true` or `buckets > 0`"),
        ({"age": {"kind": "numbers"}}, "numbers"),
        ({"bad.name": {"kind": "categorical"}}, "pattern"),
        ({}, "at least 1"),
        ({"age": {"kind": "numeric", "buckets": 0}}, "no feature has an embedding table"),
    ],
)
def test_a_leak_or_a_wrong_feature_is_refused(features: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(features=features)


def test_every_leak_is_named_at_once() -> None:
    leaks = {"action": {"kind": "categorical"}, "w": {"kind": "numeric", "column": "weight"}}
    with pytest.raises(ValidationError, match=r"`action`.*; .*`weight`"):
        spec(features=leaks)


def test_a_sample_weight_is_no_feature() -> None:
    weighted = {"bought": {"positive": "action = 'buy'", "sample_weight": "age"}}
    with pytest.raises(ValidationError, match="`age` reads column `age`, which weighs the rows of task `bought`"):
        spec(tasks=weighted)


def test_a_task_that_is_no_expression_is_refused() -> None:
    with pytest.raises(ValidationError, match="not a SQL expression"):
        spec(tasks={"bought": {"positive": "action =="}})


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "cross", "columns": ["a", "b"], "buckets": 9},
        {"kind": "time", "column": "at", "part": "hour"},
        {"kind": "numeric", "column": "n", "buckets": 4},
    ],
    ids=lambda other: str(other["kind"]),
)
@pytest.mark.parametrize(
    "sharing", [{"kind": "categorical"}, {"kind": "multi_hot"}, {"kind": "categorical", "buckets": 9}]
)
def test_a_table_is_not_that_of_a_feature_that_shares_none(sharing: dict[str, Any], other: dict[str, Any]) -> None:
    with pytest.raises(
        ValidationError, match=rf"`city` has the table `pair`, .* of kind `{other['kind']}`: give one of"
    ):
        spec(features={"city": {**sharing, "table": "pair"}, "pair": other})


def test_a_table_may_have_the_name_of_a_feature_that_has_none_or_shares_it() -> None:
    assert spec(features={"city": {"kind": "categorical", "table": "n"}, "n": {"kind": "numeric", "buckets": 0}})
    shared = {"city": {"kind": "categorical", "table": "town"}, "town": {"kind": "categorical"}}
    assert spec(features=shared).vocabularies == {"town": ["city", "town"]}


def test_a_separator_is_beside_no_weights_and_is_not_empty() -> None:
    with pytest.raises(ValidationError, match="with a `separator` there are none"):
        spec(features={"tags": {"kind": "multi_hot", "separator": "|", "weights": "w"}})
    with pytest.raises(ValidationError, match="at least 1 character"):
        spec(features={"tags": {"kind": "multi_hot", "separator": ""}})


def test_a_spec_without_a_separator_is_written_as_it_was_before_there_was_any() -> None:
    assert "separator" not in spec(features={"tags": {"kind": "multi_hot"}}).model_dump_json()
