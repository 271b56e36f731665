"""An invented kind of feature, one file and one line in a copy of the project: tested, prepared, trained and served."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.conformance.project_copy import assert_passed, project_with, run_in, suite_in
from tests.pipeline.serving.model_server import asked, records, scores, serving, wait

_TOML = """
name = "shop"
[data]
train = "log.parquet"
[split]
key = "click"
validation = 0.2
test = 0.2
[spec]
excluded = ["click"]
[spec.features]
title = { kind = "words", min_count = 2 }
user = { kind = "categorical" }
[spec.tasks]
purchase = { positive = "bought = 1" }
[model]
bottom = [8]
dropout = 0.0
[train]
epochs = 3
batch_size = 64
lr = 3e-2
[compare]
boosting = true
workers = 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    line = "from features.kinds.words import Words as Words"
    return project_with(tmp_path, "words.py", "features/kinds", line, after="import Time as Time")


def conformance(project: Path) -> subprocess.CompletedProcess[str]:
    return suite_in(project, "words", "tests/conformance/test_kinds.py")


def log(rows: int) -> pl.DataFrame:
    """Clicks on items whose titles say, by one of their words, whether they are bought."""
    generator, words = np.random.default_rng(0), ["red", "Blue", "shoe", "hat", "NEW", "old"]
    chosen = [generator.choice(words, generator.integers(0, 4), replace=False).tolist() for _ in range(rows)]
    return pl.DataFrame(
        {
            "click": np.arange(rows),
            "title": [" ".join(title) or None for title in chosen],
            "user": generator.integers(0, 40, rows),
            "bought": [int(generator.random() < (0.9 if "red" in title else 0.1)) for title in chosen],
        }
    )


@pytest.mark.slow
def test_the_suite_of_the_kinds_passes_for_it(project: Path) -> None:
    assert_passed(conformance(project), more_than=30)


@pytest.mark.slow
def test_a_promise_that_it_breaks_is_found(project: Path) -> None:
    path = project / "features" / "kinds" / "words.py"
    path.write_text(path.read_text().replace("return pl.String() if dtype == pl.Null else dtype", "return dtype"))
    tested = conformance(project)
    assert tested.returncode == 1
    assert "test_null_is_id_1_and_number_0[words-0-untyped]" in tested.stdout


@pytest.mark.slow
def test_one_file_and_one_line_are_enough_to_train_and_serve_it(project: Path) -> None:
    clicks = log(1200)
    clicks.write_parquet(project / "log.parquet")
    (project / "shop.toml").write_text(_TOML)
    for command in ("prepare shop.toml", "compare shop.toml", "score log.parquet scored --model models:/shop@balanced"):
        done = run_in(project, "-m", "jobs", *command.split())
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    in_file = pl.read_parquet(project / "scored" / "*.parquet").sort("click").get_column("purchase").to_numpy()
    is_red = clicks.get_column("title").str.contains("red").fill_null(value=False).to_numpy()
    assert in_file[is_red].mean() > in_file[~is_red].mean() + 0.1, "the words are learnt from"

    asking = clicks.drop("click", "bought").head(50)
    with serving("models:/shop@balanced", project / "server") as address:
        wait(address, project / "server")
        over_http = scores(asked(address, {"dataframe_records": records(asking)}))[:, 0]
        alone = scores(asked(address, {"dataframe_records": [{"title": None, "user": 3}]}))
        status, answer = asked(address, {"dataframe_records": [{"title": 5, "user": 3}]})
    np.testing.assert_allclose(over_http, in_file[:50], atol=1e-6)
    assert np.isfinite(alone).all()
    assert status == 400
    assert "words are those of a text" in str(answer)
