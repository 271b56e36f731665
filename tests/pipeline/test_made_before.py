"""Runs, checkpoints and models that were made before the packages of `pipeline` had their names still work."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import mlflow
import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from safetensors.numpy import load_file

from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.runs.run import WEIGHTS, Run, checkpoints_of, find_run, run_folder
from pipeline.serving.scorer import ARTIFACT, Scorer
from pipeline.training.resolve import load_config
from pipeline.training.training import train
from tests.conftest import ROOT

DATA = ROOT / "tests" / "data" / "registered_before"
FINISHED, HALF = "7b3022782d519609", "11f888250a110b4b"
# What its config leaves unsaid and has another default by now; the changelog asks to write it.
UNSAID = ("train.prior_bias=false",)
RENAMED = ("pipeline.score_http", "pipeline.score_requests", "pipeline.scoring")
FIND = """
import pipeline, sys
from importlib.util import find_spec
sys.path.insert(0, sys.argv[1])
print(*[name for name in ("mlflow", "numpy", "polars", "torch") if name in sys.modules])
print(*[find_spec(name).origin for name in sys.argv[2:]])
"""
LOAD = """
import json, sys
{first}
import mlflow, pandas
rows = pandas.read_parquet(sys.argv[2])
scores = mlflow.pyfunc.load_model(sys.argv[1]).predict(rows)
places = [sys.modules[name].__file__ for name in ("features", "models", "pipeline")]
print(json.dumps([scores.to_numpy().tolist(), places]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what was made."""
    folder = tmp_path_factory.mktemp("before")
    for name in ("made", "prepared"):
        with tarfile.open(DATA / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def prepared_of(made: Path) -> tuple[RunConfig, Prepared]:
    config = config_in(made)
    return config, prepare(config)


def config_in(folder: Path, *overrides: str) -> RunConfig:
    """The config of then, its runs in a folder."""
    places = [f"runs={folder}/runs", f"data.prepared={folder}/prepared", f"data.train={DATA}/clicks.parquet"]
    return load_config(DATA / "clicks.toml", [*places, *UNSAID, *overrides])


def assert_as_recorded(scores: npt.ArrayLike) -> None:
    """Hold scores against those of then."""
    expected = pl.read_parquet(DATA / "scores.parquet").to_numpy()
    np.testing.assert_allclose(
        np.asarray(scores, np.float64), expected, atol=1e-6
    )  # other processors add in another order


def test_a_finished_run_is_found_under_its_fingerprint(made: Path, prepared_of: tuple[RunConfig, Prepared]) -> None:
    config, prepared = prepared_of
    assert run_folder(config, prepared).name == FINISHED
    found = find_run(config, prepared)
    assert found == Run.load(made / "runs" / FINISHED)
    assert found.method == "gradops(alpha=-2.0)"
    assert found.architecture.layers["bottom"] == [8]
    assert found.architecture.layers["tower"] == [6]


def test_a_run_trained_today_is_the_run_of_then(
    made: Path, prepared_of: tuple[RunConfig, Prepared], tmp_path: Path
) -> None:
    _, prepared = prepared_of
    run = train(config_in(made, f"runs={tmp_path}"), prepared)
    assert_same(run, Run.load(made / "runs" / FINISHED))


def test_a_config_that_leaves_a_changed_default_unsaid_is_told_of_its_run(
    made: Path, prepared_of: tuple[RunConfig, Prepared], caplog: pytest.LogCaptureFixture
) -> None:
    _, prepared = prepared_of
    silent = load_config(DATA / "clicks.toml", [f"runs={made}/runs", f"data.train={DATA}/clicks.parquet"])
    train(silent, prepared)
    assert (
        f"{FINISHED} is the run of this config under the defaults of before (train.prior_bias = false)" in caplog.text
    )
    caplog.clear()
    train(config_in(made, "train.prior_bias=true", "train.seed=5"), prepared)
    assert "defaults of before" not in caplog.text


def test_a_half_trained_run_goes_on_and_ends_as_it_would_have_ended(
    made: Path, prepared_of: tuple[RunConfig, Prepared], tmp_path: Path
) -> None:
    _, prepared = prepared_of
    config = config_in(made, f"runs={tmp_path}", "train.seed=1")
    checkpoints = checkpoints_of(config, prepared)
    assert checkpoints.name == HALF
    shutil.copytree(made / "checkpoints" / HALF, checkpoints)
    before = Run.load(made / "uninterrupted" / HALF)
    seconds: list[float] = []
    run = train(config, prepared, on_epoch=lambda epoch: seconds.append(epoch.seconds))
    assert_same(run, before)
    saved = json.loads((made / "checkpoints" / HALF / "step-6" / "state.json").read_text())
    assert repr(seconds[0]) in json.dumps(saved), "its first epoch is that of the checkpoint"


def assert_same(run: Run, before: Run) -> None:
    """Equal but for the time that they took, and for what other processors round otherwise."""
    weights, expected = (load_file(one.folder / WEIGHTS) for one in (run, before))
    assert weights.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(weights[name], values, atol=1e-4)
    assert [epoch.step for epoch in run.history] == [epoch.step for epoch in before.history]
    for epoch, then in zip(run.history, before.history, strict=True):
        assert epoch.losses == pytest.approx(then.losses, abs=1e-4)


def test_the_files_of_a_registered_model_are_scored_by_todays_scorer(made: Path) -> None:
    scores = Scorer.load(made / "model" / "artifacts" / ARTIFACT).score(pl.read_parquet(DATA / "clicks.parquet"))
    assert_as_recorded(scores.to_numpy())


def test_a_registered_model_is_loaded_where_the_pipeline_of_today_is_already(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])  # MLflow puts the model's code first
    served = mlflow.pyfunc.load_model(str(made / "model"))
    scores = served.predict(pl.read_parquet(DATA / "clicks.parquet").to_pandas())
    assert_as_recorded(scores.to_numpy())
    assert type(served.unwrap_python_model().scorer) is Scorer


def printed(script: str, *arguments: str) -> list[str]:
    """The lines that a process of its own prints."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def test_pipeline_fixes_what_a_models_own_code_finds_and_imports_no_library_for_it(made: Path) -> None:
    names = ("features.errors", "models.embedding", *RENAMED)
    libraries, places = printed(FIND, str(made / "model" / "code"), *names)
    assert libraries == ""
    renamed = [f"{ROOT}/pipeline/serving/renamed/{name.partition('.')[2]}.py" for name in RENAMED]
    assert places.split() == [f"{ROOT}/features/errors.py", f"{ROOT}/models/embedding/__init__.py", *renamed]


@pytest.mark.slow
@pytest.mark.parametrize(("first", "of_today"), [("import pipeline", True), ("", False)])
def test_a_registered_model_is_loaded_in_a_process_of_its_own(made: Path, first: str, of_today: bool) -> None:
    *_, answer = printed(LOAD.format(first=first), str(made / "model"), str(DATA / "clicks.parquet"))
    scores, places = json.loads(answer)
    assert_as_recorded(scores)
    code = ROOT if of_today else made / "model" / "code"
    assert places == [f"{code}/{package}/__init__.py" for package in ("features", "models", "pipeline")]
