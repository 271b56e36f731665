"""An architecture is one file and one line: here added to a copy of the project, tested, searched and served."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.conformance.project_copy import assert_passed, project_with, run_in, suite_in
from tests.pipeline.serving.model_server import asked, scores, serving, wait
from tests.pipeline.shop import TOML, clicks

_ADDED = """
kind = "gated_experts"
experts = 2
units = 8
"""
_SEARCH = """
[search]
methods = ["gradops(alpha=-1)"]
trials = 3
workers = 1
[search.ranges]
"model.experts" = { low = 2, high = 4 }
[compare]
boosting = false
workers = 1
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with the architecture added, and a shop's clicks to train it on."""
    line = "from models.architectures.gated_experts import GatedExpertsConfig as GatedExpertsConfig"
    project_with(tmp_path, "gated_experts.py", "models/architectures", line, after="architectures.base_config import")
    (tmp_path / "log").mkdir()
    clicks(1500).write_parquet(tmp_path / "log" / "clicks.parquet")
    content = TOML.format(folder=tmp_path, log="log").replace("bottom = [16]\ndropout = 0.0\n", _ADDED)
    (tmp_path / "shop.toml").write_text(content + _SEARCH)
    return tmp_path


def test_it_passes_the_conformance_suite(project: Path) -> None:
    assert_passed(suite_in(project, "gated_experts", "tests/conformance/test_architectures.py"), more_than=25)


def test_what_it_says_of_shared_parameters_is_held_against_the_losses(project: Path) -> None:
    """Negative control: a gate declared as shared, which one task's loss reaches, is found."""
    path = project / "models" / "architectures" / "gated_experts.py"
    both = "[*self.experts.parameters(), *self.gates.parameters()]"
    path.write_text(path.read_text().replace("list(self.experts.parameters())", both))
    tested = suite_in(project, "gated_experts and reach", "tests/conformance/test_architectures.py")
    assert tested.returncode == 1
    assert "test_losses_reach_the_parameters_that_the_architecture_says[gated_experts]" in tested.stdout


def test_it_is_searched_registered_and_served(project: Path) -> None:
    """The number of experts is searched; the balanced model's scores over HTTP are those of `gradops score`."""
    searched = run_in(project, "-m", "jobs", "search", "shop.toml", "--json")
    assert searched.returncode == 0, searched.stderr[-3000:]
    points = json.loads(next((project / "runs" / "studies").glob("*.json")).read_text())["points"]
    tried = {point["params"]["model.experts"] for point in points}
    assert tried <= {2, 3, 4}
    networks = [json.loads(file.read_text())["model"] for file in project.glob("runs/*/config.json")]
    assert {network["experts"] for network in networks} == tried | {2}  # 2: the single-task models and uniform
    scored = run_in(project, "-m", "jobs", "score", "log/*.parquet", "scores", "--model", "models:/shop@balanced")
    assert scored.returncode == 0, scored.stderr[-3000:]
    rows = clicks(1500).select("item", "price").head(20)
    with serving("models:/shop@balanced", project / "server") as address:
        wait(address, project / "server")
        served = scores(asked(address, {"dataframe_records": rows.to_dicts()}))
    expected = pl.read_parquet(project / "scores" / "*.parquet").select("buy", "wish").head(20).to_numpy()
    np.testing.assert_allclose(served, expected, rtol=0, atol=1e-6)


def test_a_method_with_rotations_is_refused_by_name(project: Path) -> None:
    told = run_in(project, "-m", "jobs", "train", "shop.toml", "--set", "train.method=rotograd")
    assert told.returncode == 2
    assert "method `rotograd" in told.stderr
    assert "`gated_experts` has none" in told.stderr


def test_an_unknown_key_is_named_with_the_nearest_of_its_own(project: Path) -> None:
    told = run_in(project, "-m", "jobs", "train", "shop.toml", "--set", "model.expert=3", "--set", "model.units=0")
    assert told.returncode == 2
    assert "model.expert: unknown key; did you mean `experts`?" in told.stderr
    assert "model.units: should be a number above 0, found 0" in told.stderr
