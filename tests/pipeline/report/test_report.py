"""The report of a comparison and of a study, in a real browser: as wide as a phone, and with no network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow.tracking import MlflowClient
from selenium import webdriver

from pipeline.comparison.compare import compare
from pipeline.comparison.comparison import Comparison, comparison_fingerprint
from pipeline.comparison.fronts import compare_fronts
from pipeline.comparison.point import Point
from pipeline.comparison.result_file import StudyFile, load_result_file
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.report.charts import trade_offs
from pipeline.report.courses import curves, weights
from pipeline.report.fronts import fronts
from pipeline.report.fronts import table as hypervolumes
from pipeline.report.report import write_report
from pipeline.report.results import Result, load_result, newest
from pipeline.report.tables import cost, features, labels, metrics
from pipeline.runs.plan import SINGLE_TASK
from pipeline.runs.run import Run
from pipeline.tracking.group import RunGroup
from pipeline.tracking.tracker import Tracker
from tests.commands import run
from tests.conftest import ROOT, debug_config
from tests.pipeline.browser import LAPTOP, PHONE, assert_is_whole, chromium, opened
from tests.pipeline.comparison.made_up import run as run_of

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
    for chart, lines in (("weights", 3 * 3), ("conflicts", 3), ("curves", 3 * 4)):
        assert page.says(f"document.querySelectorAll('#{chart} .scatterlayer .js-line').length") == lines
    text = page.says("document.body.innerText")
    for part in ("gradops(alpha=-2.0)", "boosting", "test rows", done.prepared.fingerprint, "torchrec"):
        assert part in text
    artifacts = MlflowClient().list_artifacts(printed["mlflow_run_id"])
    assert {file.path for file in artifacts} >= {f"{done.path.stem}.{kind}" for kind in ("json", "md", "html")}


@pytest.mark.parametrize("width", [PHONE, LAPTOP])
def test_the_rank_of_every_system_is_seen_without_moving_the_table(
    done: Comparison, browser: webdriver.Chrome, tmp_path: Path, width: int
) -> None:
    write_report(load_result(done.path), tmp_path / "page.html")
    page = opened(browser, tmp_path / "page.html", width)
    assert_is_whole(page)
    right = "[...document.querySelectorAll('#figures th')].find(e => e.innerText == 'Mean Rank')"
    assert page.says(f"{right}.getBoundingClientRect().right") < width
    if width == LAPTOP:
        assert page.says("(e => e.scrollWidth <= e.clientWidth)(document.querySelector('#figures').parentElement)")


def test_each_baseline_has_a_mark_of_its_own(done: Comparison) -> None:
    traces = [trace for trace in trade_offs(load_result(done.path))["income and marital"].data if trace.visible]
    marks = {trace.name: trace.marker.symbol[0].removesuffix("-open") for trace in traces}
    assert marks.keys() >= {"single-task", "uniform", "boosting"}
    assert len({marks[name] for name in ("single-task", "uniform", "boosting")}) == 3
    assert traces[0].marker.symbol[0] == "circle", "the Pareto front is filled"


def test_rows_cost_and_further_metrics_are_in_tables(done: Comparison) -> None:
    result = load_result(done.path)
    rows, spent = labels(result), cost(result)
    assert rows is not None
    assert spent is not None
    assert [row[1] for row in rows.rows] == [f"{done.prepared.rows[split]:,}" for split in ("train", "val", "test")]
    positives = done.prepared.manifest["splits"]["test"]["tasks"]["income"]["positives"]
    assert rows.rows[2][2].startswith(f"{positives} (")
    assert [row[0] for row in spent.rows] == [system for system in done.systems if system != "boosting"]
    (uniform,) = done.systems["uniform"]
    found = {table.title: {row[0]: row[1] for row in table.rows} for table in metrics(result)}
    assert found["Log loss"]["uniform"] == f"{uniform.test['income']['logloss']:.4f}"
    assert found["Calibration"]["uniform"] == f"{uniform.test['income']['calibration']:.4f}"
    assert "GAUC" not in found, "the spec has no group"


def test_a_result_of_before_has_the_tables_that_its_file_allows() -> None:
    for file in (ROOT / "docs" / "results").glob("*.json"):
        result = load_result(file)
        assert result.fingerprint == file.stem
        assert labels(result) is None
        assert features(result) is None
        assert cost(result) is None
        assert metrics(result) == []
        assert curves(result) is None


def test_features_of_which_little_is_known_are_in_a_table() -> None:
    part = {"rows": 200, "unknown": 0, "unseen": 0}
    counts = {
        "price": {"train": {**part, "unknown": 20}, "val": part, "constant": False},
        "user": {"train": part, "val": {**part, "unseen": 199}, "constant": False},
        "country": {"train": part, "val": part, "constant": False},
    }
    table = features(cast("Result", SimpleNamespace(file=SimpleNamespace(features=counts))))
    assert table is not None
    assert table.rows == [
        ["user", "all known", "99.5% unseen", "-"],
        ["price", "10.0% unknown", "all known", "-"],
    ]


def test_one_huge_weight_is_cut_and_marked() -> None:
    tasks = ["purchase", "cart"]
    usual = {step: {"purchase": 1.0, "cart": 1.0} for step in range(0, 500, 50)}
    heavy = usual | {350: {"purchase": 1.4e7, "cart": 0.1}}
    found = weights(made_up(tasks, {"uniform": usual, "rotograd": heavy}))
    assert found is not None
    assert max(max(trace.y) for trace in found.data) == 10
    (mark,) = [trace for trace in found.data if trace.mode == "markers"]
    assert (list(mark.x), list(mark.hovertext)) == ([350], ["1.4e+07"])
    assert "beyond 10" in found.layout.annotations[0].text


@pytest.mark.parametrize("most", [1.0, 12.0, 20.0])
def test_weights_that_are_near_each_other_are_not_cut(most: float) -> None:
    usual = {step: {"purchase": 1.0 if step else most, "cart": 1.0} for step in range(0, 500, 50)}
    found = weights(made_up(["purchase", "cart"], {"uniform": usual}))
    assert found is not None
    assert max(max(trace.y) for trace in found.data) == most
    assert all(trace.mode == "lines" for trace in found.data)


def made_up(tasks: list[str], weights_of: dict[str, dict[int, dict[str, float]]]) -> Result:
    """A comparison whose systems had these weights."""
    runs = {system: [run_of(tasks, weights=found)] for system, found in weights_of.items()}
    points = [SimpleNamespace(label=system, method=system, pareto=False) for system in weights_of]
    found = SimpleNamespace(complete=points, kind="comparison", tasks=tasks, runs=lambda point: runs[point.label])
    return cast("Result", found)


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


def two_families(comparison: Comparison) -> Result:
    """A study of two points of a method and one plain sum with a task's searched weight, with their fronts."""
    file = load_result_file(study(comparison))
    assert isinstance(file, StudyFile)
    (uniform,) = [row for row in comparison.table("test") if row.system == "uniform"]
    runs, weights = [run.fingerprint for run in comparison.systems["uniform"]], {"spec.tasks.income.weight": 2.0}
    weighted = replace(file.points[0], trial=3, method="uniform", params={**weights}, test=uniform.auc, runs=runs)

    def runs_of(point: Point) -> list[Run]:
        return [Run.load(comparison.config.runs / name) for name in point.runs]

    points = [*file.points, weighted]
    found = compare_fronts(points, file.tasks, comparison.rows, runs_of)
    path = comparison.config.runs / "studies" / "fronts.json"
    file.model_copy(update={"points": points, "fronts": found}).save(path)
    return load_result(path)


def test_the_fronts_of_two_families_are_in_one_chart_with_their_hypervolumes(done: Comparison, tmp_path: Path) -> None:
    result = two_families(done)
    assert isinstance(result.file, StudyFile)
    assert result.file.fronts is not None
    one, other = result.file.fronts.fronts
    figures = fronts(result)
    assert {*figures} == {"income and marital", "income and education", "marital and education"}
    marks, _, weighted, edge = [trace for trace in figures["income and marital"].data if trace.visible]
    assert marks.name == f"gradops, {one.hypervolume:.5f}"
    assert weighted.name == f"static weights, {other.hypervolume:.5f}"
    assert [symbol.endswith("-open") for symbol in marks.marker.symbol].count(False) == len(one.labels)
    assert (list(edge.x), list(edge.y)) == (list(weighted.x), list(weighted.y)), "a front of one point"
    assert marks.marker.color != weighted.marker.color
    found = hypervolumes(result)
    assert found is not None
    assert [row[0] for row in found.rows] == ["gradops", "static weights", "gradops less static weights"]
    assert all("[" in row[1] for row in found.rows), "an interval each"
    write_report(result, tmp_path / "page.html")
    assert 'id="front-2"' in (tmp_path / "page.html").read_text()
    write_report(load_result(study(done)), tmp_path / "page.html")
    assert 'id="front-0"' not in (tmp_path / "page.html").read_text(), "of before there were fronts"


def test_the_fronts_are_seen_on_a_phone_in_the_dark_and_on_paper(
    done: Comparison, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    write_report(two_families(done), tmp_path / "page.html")
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    page = opened(browser, tmp_path / "page.html", PHONE)
    assert_is_whole(page)
    assert page.points("front-0") == 3, "of the visible split"
    ink = page.says("getComputedStyle(document.querySelector('#front-0 .ytick text')).fill")
    assert ink == page.says("getComputedStyle(document.body).color")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert page.says("document.documentElement.scrollWidth <= innerWidth")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_the_newest_result_of_a_config_is_meant(done: Comparison, tmp_path: Path) -> None:
    for path in (study(done), done.path):
        path.touch()
        assert newest(done.config.runs, "debug") == path
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
