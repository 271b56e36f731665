"""Whatever a body holds, the answer is scores or one error that a caller can mend, and the next request is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.serving.answers import JSON, Answer, Answers
from pipeline.serving.lean_server import LeanServer
from pipeline.serving.requests import Limits
from pipeline.serving.scorer import Scorer
from tests.pipeline.serving.drawn import EXAMPLES, TASKS, network, scorer_of
from tests.pipeline.serving.lean import lean_serving
from tests.pipeline.serving.model_server import asked
from tests.pipeline.serving.test_encoding import made

ROW: dict[str, Any] = {
    "city": "Lima",
    "user": "user 3",
    "tags": ["red", "new"],
    "strength": [1.0, 0.5],
    "at": "2026-01-31T18:30:00",
    "joined": "2025-06-01T00:00:00",
    "price": 12.5,
}
GOOD = json.dumps({"inputs": [ROW]}).encode()
LIMITS = Limits(size=20_000, rows=60)
_numbers = st.integers() | st.floats() | st.integers(-(2**140), 2**140)
_leaves = st.none() | st.booleans() | _numbers | st.text(max_size=8) | st.sampled_from([*ROW.values()])
_values = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
_KEYS = ["inputs", "instances", "dataframe_records", "dataframe_split", "shared", "rows"]


@cache
def scorer() -> Scorer:
    encoder = made()
    return scorer_of(encoder, network(encoder, EXAMPLES["shared_bottom"]), TASKS)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """A row, of which some values are others, some columns missing or more."""
    row = dict(ROW)
    for name in draw(st.lists(st.sampled_from([*ROW, "more"]), max_size=3)):
        row[name] = draw(_values)
    for name in draw(st.lists(st.sampled_from([*ROW]), max_size=1)):
        row.pop(name, None)
    return row


@st.composite
def contents(draw: st.DrawFn) -> Any:
    """Something like a request in one of the forms."""
    some = draw(st.lists(rows(), max_size=3))
    columns = {name: [row.get(name) for row in some] for name in ROW}
    shared = {name: value for name, value in ROW.items() if name != "price"}
    content: dict[str, Any] = draw(
        st.sampled_from(
            [
                {draw(st.sampled_from(_KEYS[:3])): some},
                {"inputs": columns},
                {"dataframe_split": {"columns": [*ROW], "data": [list(row.values()) for row in some]}},
                {
                    "shared": {**shared, **draw(st.dictionaries(st.sampled_from([*ROW]), _values, max_size=1))},
                    "rows": {"price": draw(st.lists(_values, max_size=30))},
                },
            ]
        )
    )
    if draw(st.integers(0, 5)) == 5:
        content[draw(st.sampled_from(_KEYS))] = draw(_values)
    return content


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Any bytes, any JSON, requests, and requests with some bytes spoilt."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.binary(max_size=300))
    content = draw(_values if kind == 1 else contents())
    body = json.dumps(content).encode()
    if kind > 7:
        place, spoilt = draw(st.integers(0, len(body))), draw(st.binary(max_size=3))
        body = body[:place] + spoilt + body[place + draw(st.integers(0, 9)) :]
    return body


def check_answer(status: int, content: Any) -> None:
    assert status in (200, 400), content
    if status == 400:
        assert content["error_code"] == "INVALID_PARAMETER_VALUE"
        assert "Traceback" not in content["message"]
        assert 0 < len(content["message"]) < 5000
        return
    for probability in _probabilities(content["predictions"]):
        assert 0 <= probability <= 1


def _probabilities(predictions: Any) -> Iterator[float]:
    if isinstance(predictions, dict):
        for values in predictions.values():
            yield from values
    else:
        for row in predictions:
            yield from row.values()


def answered(body: bytes, answers: Answers) -> Answer:
    answer = answers(body, JSON)
    check_answer(answer.status, json.loads(answer.content))
    return answer


def fuzzed(examples: int) -> settings:
    quick = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large)
    return settings(max_examples=examples, deadline=None, suppress_health_check=quick)


def check(body: bytes) -> None:
    answers = Answers(scorer(), LIMITS)
    answered(body, answers)
    assert answered(GOOD, answers).content == Answers(scorer(), LIMITS)(GOOD, JSON).content


@given(bodies())
@fuzzed(40)
def test_no_body_is_beyond_an_answer(body: bytes) -> None:
    check(body)


@pytest.mark.slow
@given(bodies())
@fuzzed(20_000)
def test_twenty_thousand_bodies(body: bytes) -> None:
    check(body)


@pytest.mark.slow
def test_bodies_over_http() -> None:
    with lean_serving(LeanServer(scorer(), {})) as address:
        expected = asked(address, GOOD)

        @given(bodies())
        @fuzzed(1_000)
        def over_http(body: bytes) -> None:
            check_answer(*asked(address, body))
            assert asked(address, GOOD) == expected

        over_http()
