"""An invented generated source, one file and one line in a copy of the project: explained, made, prepared, trained."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import polars as pl
import pytest

from tests.conformance.project_copy import project_with, run_in

pytestmark = pytest.mark.slow

_TOML = """
name = "visits"
[data]
train = "data/visits"
[split]
key = "visit"
validation = 0.2
test = 0.2
[spec]
excluded = ["visit"]
[spec.features]
minutes = { kind = "numeric", log1p = true }
age = { kind = "numeric" }
[spec.tasks]
purchase = { positive = "bought = 1" }
[model]
bottom = [8]
[train]
max_steps = 30
batch_size = 64
lr = 3e-2
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return project_with(tmp_path, "visits.py", "pipeline/sources", '    "visits",', after='"clicklog",')


def gradops(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_in(project, "-m", "jobs", *arguments)


def test_its_options_are_explained_and_those_of_others_refused(project: Path) -> None:
    explained = gradops(project, "synth", "--help")
    assert explained.returncode == 0, explained.stderr
    assert "clicklog|visits" in explained.stdout
    words = " ".join(explained.stdout.split())
    assert "Share of visitors who buy nothing, however long they stay. [default: 0.25]" in words
    assert "[default: (clicklog 1000000, visits 10000)]" in words
    foreign = gradops(project, "synth", "visits", "--conflict", "1", "--first-day", "2026-01-01")
    assert foreign.returncode == 2
    assert "2 problem(s)" in foreign.stderr
    assert "`--first-day` is no option of `visits`" in foreign.stderr
    assert gradops(project, "synth", "clicklog", "--haste", "1").returncode == 2
    assert not (project / "data").exists()
    assert gradops(project, "fetch", "visits").returncode == 2, "it is no published data"


def test_it_is_made_prepared_and_trained(project: Path) -> None:
    made = gradops(project, "synth", "visits", "--rows", "3000", "--haste", "0.1", "--json")
    assert made.returncode == 0, made.stderr
    summary = json.loads(made.stdout)
    assert (summary["rows"], summary["out"]) == (3000, "data/visits")
    visits = pl.read_parquet(project / "data" / "visits" / "*.parquet")
    assert visits.height == 3000
    assert summary["positive_rates"] == {"purchase": visits.get_column("bought").mean()}
    again = gradops(project, "synth", "visits", "--rows", "3000")
    assert "purchase" in again.stdout
    assert "best reachable AUC" not in again.stdout, "nobody knows it"
    (project / "visits.toml").write_text(_TOML)
    for command in ("prepare", "train"):
        done = gradops(project, command, "visits.toml", "--json")
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    (result,) = (project / "runs").glob("*/result.json")
    assert 0.6 < json.loads(result.read_text())["test"]["purchase"]["auc"] <= 1
