"""CONTRIBUTING.md describes adding things truly; the tests in `tests/conformance` add them."""

from __future__ import annotations

import re

from tests.conftest import ROOT
from tests.docs.blocks import blocks

PAGE = (ROOT / "CONTRIBUTING.md").read_text()


def test_the_method_is_the_one_that_a_test_adds() -> None:
    assert blocks("python", PAGE) == [(ROOT / "tests" / "conformance" / "added" / "levelled.py").read_text()]


def test_every_example_that_a_test_adds_is_linked() -> None:
    added = [path.name for path in (ROOT / "tests" / "conformance" / "added").glob("*.py") if path.stem != "__init__"]
    assert {"levelled.py", "gated_experts.py", "words.py", "visits.py", "disk.py"} <= set(added)
    assert all(f"(tests/conformance/added/{name})" in PAGE for name in added)


def test_the_lists_that_take_a_line_exist() -> None:
    lists = re.findall(r"`((?:\w+/)+\w+\.py)`", PAGE)
    assert "jobs/cli.py" in lists
    assert "COMMANDS = (" in (ROOT / "jobs" / "cli.py").read_text()
    assert "SOURCES = (" in (ROOT / "pipeline" / "sources" / "__init__.py").read_text()


def test_it_is_one_page() -> None:
    assert PAGE.count("\n") <= 100


def test_every_command_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"`?\bmake ([a-z]+)", PAGE)) <= targets
