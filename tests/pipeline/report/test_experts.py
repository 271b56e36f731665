"""The use of experts in the report, of real little runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import cast

import pytest
from selenium import webdriver

from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.report.experts import entropies, shares
from pipeline.report.report import write_report
from pipeline.report.results import Result, load_result
from pipeline.runs.run import Run
from pipeline.training.training import train
from tests.conftest import ROOT, debug_config
from tests.pipeline.browser import PHONE, assert_is_whole, chromium, opened

MMOE = ("model={kind='mmoe', experts=3, expert=[8]}", "train.diagnose_every=10", "train.max_steps=30")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    yield from chromium(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def trained(few: tuple[RunConfig, Prepared], tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two seeds of one network with experts."""
    folder = tmp_path_factory.mktemp("experts")
    return [train(debug_config(folder, *MMOE, f"train.seed={seed}"), few[1]) for seed in (0, 1)]


def result_of(runs: dict[str, list[Run]]) -> Result:
    points = [SimpleNamespace(label=system, method=system, pareto=False) for system in runs]
    return cast("Result", SimpleNamespace(complete=points, kind="comparison", runs=lambda point: runs[point.label]))


def test_a_row_of_shares_is_the_kept_epoch_of_one_seed(trained: list[Run]) -> None:
    figure = shares(result_of({"uniform": trained}))
    assert figure is not None
    (panel,) = figure.data
    assert (list(panel.y), list(panel.x)) == (trained[0].tasks, ["expert 0", "expert 1", "expert 2"])
    kept = trained[0].history[trained[0].best_epoch].diagnostics.values()
    for task, row in zip(panel.y, panel.z, strict=True):
        assert sum(row) == pytest.approx(1)
        assert list(row) == pytest.approx([fmean(step[f"gate.{task}.expert{i}"] for step in kept) for i in range(3)])


def test_entropies_are_means_over_seeds(trained: list[Run]) -> None:
    figure = entropies(result_of({"uniform": trained}))
    assert figure is not None
    assert [list(line.x) for line in figure.data] == [[*trained[0].history[0].diagnostics]] * 3, "a line a task"
    assert all(0 < value <= math.log(3) for line in figure.data for value in line.y)
    step, task = int(figure.data[0].x[0]), trained[0].tasks[0]
    found = [run.history[0].diagnostics[step][f"gate.{task}.entropy"] for run in trained]
    assert figure.data[0].y[0] == pytest.approx(fmean(found))
    assert next(note.text for note in figure.layout.annotations) == f"{task} (evenly mixed: 1.10 for 3 experts)"


def test_networks_without_experts_have_no_charts(trained: list[Run]) -> None:
    plain = [replace(run, history=[replace(epoch, diagnostics={}) for epoch in run.history]) for run in trained]
    assert shares(result_of({"uniform": plain})) is None
    assert entropies(result_of({"uniform": plain})) is None
    beside = result_of({"uniform": plain, "gradops": trained})
    figure = shares(beside)
    assert figure is not None
    assert [note.text for note in figure.layout.annotations] == ["gradops"]


def test_gates_of_several_sizes_stand_in_one_panel(trained: list[Run]) -> None:
    """As those of PLE: a shared gate between levels mixes the experts of all tasks."""
    report = {"gate.a.level1.expert0": 0.4, "gate.a.level1.expert1": 0.6, "gate.a.level1.entropy": 0.67}
    report |= {f"gate.shared.level1.expert{i}": share for i, share in enumerate((0.2, 0.3, 0.5))}
    epoch = replace(trained[0].history[0], diagnostics={5: report, 10: {"weight.a": 1.0}})
    later = replace(epoch, number=1, diagnostics={15: {"gate.a.level1.expert0": 1.0}})
    figure = shares(result_of({"uniform": [replace(trained[0], history=[epoch, later], best_epoch=0)]}))
    assert figure is not None
    assert list(figure.data[0].y) == ["a.level1", "shared.level1"]
    assert [list(row) for row in figure.data[0].z] == [[0.4, 0.6, None], [0.2, 0.3, 0.5]]


def test_the_page_shows_them(trained: list[Run], browser: webdriver.Chrome, tmp_path: Path) -> None:
    result = load_result(next((ROOT / "docs" / "results").glob("*.json")))
    there = trained[0].folder.parent / "comparisons" / "it.json"
    point = replace(result.complete[0], pareto=True, runs=[run.fingerprint for run in trained])
    write_report(replace(result, path=there, points=[point]), tmp_path / "page.html")
    page = opened(browser, tmp_path / "page.html", PHONE)
    assert_is_whole(page)
    assert "How tasks use experts" in page.says("document.body.innerText")
    assert page.says("document.querySelectorAll('#shares .heatmaplayer image').length") == 1
    assert page.says("document.querySelectorAll('#entropies .scatterlayer .js-line').length") == 3
