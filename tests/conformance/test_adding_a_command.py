"""A command is one file in `jobs/` and one line in `jobs/cli.py`: here added to a copy of the package."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.conformance.project_copy import project_with, run_in

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return project_with(tmp_path, "disk.py", "jobs", '    "disk",', listing="cli.py", after='    "daily",')


def gradops(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_in(project, "-m", "jobs", *arguments)


def test_it_is_in_the_help_and_explains_itself(project: Path) -> None:
    listed = gradops(project, "--help")
    assert listed.returncode == 0, listed.stderr
    assert "│ disk      Print the bytes of every run's folder, the largest first." in listed.stdout
    explained = gradops(project, "disk", "--help")
    assert explained.returncode == 0, explained.stderr
    assert "Folder of runs." in explained.stdout
    assert "--json" in explained.stdout


def test_it_runs_and_its_errors_are_a_commands(project: Path) -> None:
    for name, size in (("small", 3), ("large", 2000)):
        (project / "runs" / name).mkdir(parents=True)
        (project / "runs" / name / "result.json").write_bytes(b"x" * size)
    done = gradops(project, "disk", "--json")
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout).items()) == [("large", 2000), ("small", 3)]
    assert "2,000 large" in gradops(project, "disk").stdout
    mistyped = gradops(project, "disk", "--jsn")
    assert mistyped.returncode == 2
    assert "No such option: --jsn" in mistyped.stderr
