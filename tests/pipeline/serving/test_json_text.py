"""Both readers of JSON mean the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.serving.json_text import read_json, written_json

EDGES = (
    "-0|-0.0|1e400|9223372036854775808|18446744073709551616|-9223372036854775809|NaN|-Infinity|1e-400|[1,]|0123|.5|+1"
)
EDGES += '|"\\ud800"|"\\u0000"|{"a":1,"a":2}|\ufeff1| 1 |2.2250738585072011e-308|0.30000000000000004|1.|"\\x"|""||nul'
numbers = (
    st.integers() | st.floats() | st.integers(-(2**65), 2**65) | st.sampled_from([2**63, 2**64, -(2**63) - 1, 10**30])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


def both(body: bytes) -> tuple[str, str]:
    """What each reader makes of a text, or that it refuses it."""

    def of(read: Any) -> str:
        try:
            return repr(read(body))
        except (ValueError, RecursionError):
            return "refused"

    return of(read_json), of(json.loads)


@pytest.mark.parametrize("text", [*EDGES.split("|"), "[" * 3000 + "]" * 3000, "[" * 200_000, "\udcff"])
def test_edges(text: str) -> None:
    found, expected = both(text.encode(errors="surrogateescape"))
    assert found == expected


def check(value: Any, spoilt: st.DataObject) -> None:
    body = json.dumps(value).encode()
    found, expected = both(body)
    assert found == expected
    place, byte = spoilt.draw(st.integers(0, len(body) - 1)), spoilt.draw(st.integers(0, 255))
    found, expected = both(body[:place] + bytes([byte]) + body[place + 1 :])
    assert found == expected


@given(values, st.data())
@settings(max_examples=50, deadline=None)
def test_any_text(value: Any, spoilt: st.DataObject) -> None:
    check(value, spoilt)


@pytest.mark.slow
@given(values, st.data())
@settings(max_examples=5_000, deadline=None)
def test_many_texts(value: Any, spoilt: st.DataObject) -> None:
    check(value, spoilt)


@given(st.lists(st.floats(0, 1)))
@settings(max_examples=50, deadline=None)
def test_probabilities_come_back_to_the_bit(probabilities: list[float]) -> None:
    assert json.loads(written_json({"a": probabilities})) == {"a": probabilities}
