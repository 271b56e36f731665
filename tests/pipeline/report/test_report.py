"""The report of a comparison and of a study, in a real browser: as wide as a phone, and with no network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from selenium import webdriver

from pipeline.comparison.compare import compare
from pipeline.comparison.comparison import Comparison, comparison_fingerprint
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.report.report import write_report
from pipeline.report.results import load_result, newest
from pipeline.runs.plan import SINGLE_TASK
from pipeline.tracking.group import RunGroup
from pipeline.tracking.tracker import Tracker
from tests.commands import run
from tests.conftest import debug_config
from tests.pipeline.browser import assert_is_whole, chromium, opened

HOSTILE = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    yield from chromium(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def done(few: tuple[RunConfig, Prepared], tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("report")
    options = ["compare.methods=['uniform', 'gradops(alpha=-2)', 'gradops(alpha=1)']", "compare.boosting=true"]
    config = debug_config(folder, *options, f"data.prepared={few[0].data.prepared}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        with Tracker.open(config, few[1], RunGroup.comparison(comparison_fingerprint(config, few[1]))) as tracker:
            comparison = compare(config, few[1], [tracker])
            tracker.compared(comparison)
    return comparison


@pytest.fixture(autouse=True)
def _its_store(_own_folder: None, done: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{done.config.runs.parent}/mlflow.db")


def study(comparison: Comparison) -> Path:
    """A study of the comparison's runs, as a search would write it, with a name that means harm."""

    def means(system: str, split: str) -> dict[str, float]:
        (row,) = [row for row in comparison.table("test" if split == "test" else "val") if row.system == system]
        return row.auc

    shown = {"gradops(alpha=-2.0)": -2.0, "gradops(alpha=1.0)": 1.0}
    points: list[dict[str, Any]] = [
        {
            "trial": number,
            "method": "gradops",
            "params": {"alpha": alpha, HOSTILE: 1.0},
            "runs": [run.fingerprint for run in comparison.systems[system]],
            "val": means(system, "val"),
            "test": means(system, "test"),
            "val_sd": None,
            "test_sd": None,
            "pareto": number == 0,
            "state": "complete",
            "mlflow_run_ids": [],
        }
        for number, (system, alpha) in enumerate(shown.items())
    ]
    empty: dict[str, Any] = {"runs": [], "val": {}, "test": {}, "pareto": False, "state": "pruned"}
    points.append(points[0] | empty | {"trial": 2, "method": HOSTILE})
    baselines = {name: [r.fingerprint for r in comparison.systems[name]] for name in (SINGLE_TASK.name, "uniform")}
    content = json.loads(comparison.path.read_text())
    content = {key: content[key] for key in ("name", "data", "config", "versions", "tasks", "seeds")}
    path = comparison.config.runs / "studies" / "0123456789abcdef.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content | {"kind": "study", "baselines": baselines, "points": points}))
    return path


def test_a_comparison_opens_on_a_phone(done: Comparison, browser: webdriver.Chrome) -> None:
    code, out, err = run("report", str(done.path), "--json")
    assert code == 0, err
    printed = json.loads(out)
    page = opened(browser, Path(printed["file"]))
    assert_is_whole(page)
    assert page.says("document.querySelectorAll('#figures tbody tr').length") == 5
    assert all(page.points(f"pair-{i}") == 5 for i in range(3)), "every system, of the visible split"
    assert page.points("gains") == 2 * 2 * 3, "two alphas, two splits, three tasks"
    for chart, lines in (("weights", 3 * 3), ("conflicts", 3)):
        assert page.says(f"document.querySelectorAll('#{chart} .scatterlayer .js-line').length") == lines
    text = page.says("document.body.innerText")
    for part in ("gradops(alpha=-2.0)", "boosting", "test rows", done.prepared.fingerprint, "torchrec"):
        assert part in text
    artifacts = MlflowClient().list_artifacts(printed["mlflow_run_id"])
    assert {file.path for file in artifacts} >= {f"{done.path.stem}.{kind}" for kind in ("json", "md", "html")}


def test_a_study_opens_and_names_in_it_are_text(done: Comparison, browser: webdriver.Chrome, tmp_path: Path) -> None:
    write_report(load_result(study(done)), tmp_path / "study.html")
    page = opened(browser, tmp_path / "study.html")
    assert_is_whole(page)
    assert page.says("document.title") == "debug: study"
    assert page.says("document.querySelectorAll('#figures tbody tr').length") == 5, "two baselines, three trials"
    assert page.points("pair-0") == 4
    assert page.points("gains") == 2 * 2 * 3
    assert HOSTILE in page.says("document.querySelector('#figures').innerText")
    hovers = page.says("document.querySelector('#pair-0').data.flatMap(trace => trace.hovertext)")
    assert any("&lt;script&gt;" in text for text in hovers)
    assert not any("<script" in text for text in hovers)


def test_the_newest_result_of_a_config_is_meant(done: Comparison, tmp_path: Path) -> None:
    assert newest(done.config.runs, "debug") in (done.path, done.config.runs / "studies" / "0123456789abcdef.json")
    (done.config.runs / "comparisons" / "damaged.json").write_text("{")
    code, out, _ = run("report", "debug", "--runs", str(done.config.runs), "--output", str(tmp_path / "a.html"))
    assert code == 0
    assert str(tmp_path / "a.html") in out.replace("\n", "")
    code, _, err = run("report", "other", "--runs", str(done.config.runs))
    assert code == 2
    assert "no result of `other`" in err
    code, _, err = run("report", str(done.config.runs / "comparisons" / "damaged.json"))
    assert code == 2
    assert "is no result of a comparison or a search" in err


def test_a_report_is_the_same_twice(done: Comparison, tmp_path: Path) -> None:
    pages = [tmp_path / name for name in ("first.html", "second.html")]
    for page in pages:
        write_report(load_result(done.path), page)
    assert pages[0].read_text() == pages[1].read_text()
