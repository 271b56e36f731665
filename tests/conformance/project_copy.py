"""A copy of the project with one more file and one more line: all that adding a method, a kind or a command takes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

_PARTS = ("features", "gradops", "models", "pipeline", "jobs", "tests", "configs")


def project_with(
    target: Path, example: str, folder: str, line: str, *, listing: str = "__init__.py", after: str
) -> Path:
    """Copy the project and add an example to it.

    Args:
        target: The folder of the copy.
        example: The file's name in ``tests/conformance/added``.
        folder: The folder that the file goes to.
        line: The line that is added to a list.
        listing: The file with the list, in that folder.
        after: Text of the line that the new one follows; of one line only.

    Returns:
        The target.
    """
    for part in _PARTS:
        shutil.copytree(ROOT / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", target)
    shutil.copy(ROOT / "tests" / "conformance" / "added" / example, target / folder)
    table = target / folder / listing
    lines = table.read_text().splitlines(keepends=True)
    (place,) = [number for number, text in enumerate(lines) if after in text]
    table.write_text("".join([*lines[: place + 1], f"{line}\n", *lines[place + 1 :]]))
    return target


def run_in(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python`` with arguments in the copy, on the copy's code."""
    environment = {**os.environ, "PYTHONPATH": str(project), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False
    )


def suite_in(project: Path, name: str, suite: str) -> subprocess.CompletedProcess[str]:
    """Run the conformance tests in the copy that are about the added name."""
    return run_in(project, "-m", "pytest", "-n", "0", "-q", "-k", name, "-p", "no:cacheprovider", suite)


def assert_passed(tested: subprocess.CompletedProcess[str], more_than: int) -> None:
    """Assert that a suite passed, with more tests than a number."""
    passed = re.search(r"(\d+) passed", tested.stdout)
    assert tested.returncode == 0, tested.stdout[-2000:]
    assert passed, tested.stdout[-2000:]
    assert int(passed[1]) > more_than
