"""Every registered method against the reference written from its paper."""

from __future__ import annotations

import pytest

from gradops.base import GramianMethod
from gradops.methods import METHODS
from tests.gradops.agreement import PAIRS, disagreement


def test_every_method_that_weighs_has_a_reference() -> None:
    assert PAIRS.keys() == {name for name, kind in METHODS.items() if issubclass(kind, GramianMethod)}
    assert all(type(pair.method(3)) is METHODS[name] for name, pair in PAIRS.items())


@pytest.mark.parametrize("tasks", [2, 3, 8])
@pytest.mark.parametrize("name", PAIRS)
def test_method_agrees_with_its_reference(name: str, tasks: int) -> None:
    assert disagreement(name, tasks) <= PAIRS[name].tolerance
