"""What CONTRIBUTING.md says of adding things; the tests in `tests/conformance` do it."""

from __future__ import annotations

import re

from tests.conftest import ROOT
from tests.docs.blocks import blocks

PAGE = (ROOT / "CONTRIBUTING.md").read_text()


def test_the_method_is_the_one_that_a_test_adds() -> None:
    assert blocks("python", PAGE) == [(ROOT / "tests" / "conformance" / "added" / "levelled.py").read_text()]


def test_it_is_one_page() -> None:
    assert PAGE.count("\n") <= 100


def test_every_command_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"`?\bmake ([a-z]+)", PAGE)) <= targets
