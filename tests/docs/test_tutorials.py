"""The tutorials run from their first cell to their last, on less data than a reader would take."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

from tests.conftest import ROOT

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.py"))
# What each prints near its end: a notebook that stops early prints less.
LAST = {
    "own_log": "{'predictions': [{'purchase': ",
    "trade_off": "is preferred",
    "training_loop": "a resumed run steps as the one that was not interrupted",
}


def test_every_tutorial_begins_with_its_title_is_short_and_has_a_picture() -> None:
    assert {path.stem for path in TUTORIALS} == LAST.keys()
    for path in TUTORIALS:
        cells = jupytext.read(path, fmt="py:percent").cells
        assert cells[0].source.startswith("# ")
        assert {cell.cell_type for cell in cells} == {"markdown", "code"}
        assert path.read_text().count("\n") < 150
        pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", path.read_text())
        assert pictures, "it has a picture"
        assert all((path.parent / picture).is_file() for picture in pictures)


@pytest.mark.slow  # trainings, and a server
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs(tutorial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # a reader has none: the store lies in the folder
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    own = {"TUTORIAL_ROWS": "6000", "TUTORIAL_PORT": port, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, tutorial], env={**os.environ, **own}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert LAST[tutorial.stem] in done.stdout
