"""The paper's table, run by run: a run with a record of its figures is done, and no other run is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import benchmarks.paper.__main__ as paper
from benchmarks.paper.__main__ import TABLES, finished, plan, tables, train_missing
from benchmarks.paper.record import Record, find_record
from benchmarks.paper.table import Finished, interval, one_seed, papers_rows
from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.runs.plan import PlannedRun
from pipeline.training.resolve import load_config
from tests.conftest import ROOT, debug_config


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Prepared, Path]:
    """A comparison whose every run has left a record, and nothing else: `runs` is gone, as in a clone."""
    folder = tmp_path_factory.mktemp("paper")
    config = debug_config(folder, 'compare.methods=["uniform","mgda_ub"]', "compare.seeds=2", "train.epochs=1")
    prepared = prepare(config)
    train_missing(config, prepared, folder / "records")
    shutil.rmtree(config.runs)
    return config, prepared, folder / "records"


def test_runs_with_a_record_are_done_where_their_weights_are_not(
    recorded: tuple[RunConfig, Prepared, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config, prepared, folder = recorded
    train_missing(config, prepared, folder)
    records = finished(config, prepared, folder)
    assert not config.runs.exists(), "something was trained"
    assert not capsys.readouterr().err
    tasks = len(config.tasks)
    assert len(records) == tasks + 2 + tasks + 1, "of the first seed all systems, of the second the repeated ones"
    assert [r.seed for r in records] == [p.config.train.seed for p in plan(config)] == sorted(r.seed for r in records)
    lines = tables(config, records)
    assert any(line.startswith("| `mgda_ub` |") for line in lines)
    assert lines[-1].startswith(f"{len(records)} of {len(records)} runs")
    assert (folder / TABLES).read_text().splitlines()[2:] == lines


def test_the_repeated_systems_come_first_a_part_at_a_time(
    recorded: tuple[RunConfig, Prepared, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, prepared, _ = recorded
    parts: list[tuple[list[PlannedRun], int]] = []
    monkeypatch.setattr(paper, "find_or_train", lambda planned, *others: parts.append((planned, others[-1])))
    train_missing(config.changed({"compare.workers": 3}), prepared, tmp_path)
    assert [(p[0].config.train.seed, {str(run.system) for run in p}) for p, _ in parts] == [
        (0, {"uniform", "single-task"}),
        (0, {"mgda_ub"}),
        (1, {"uniform", "single-task"}),
    ]
    assert {workers for _, workers in parts} == {3}


def test_a_record_of_another_config_does_not_count_and_is_named(
    recorded: tuple[RunConfig, Prepared, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config, prepared, folder = recorded
    other = config.changed({"train.lr": 0.125})
    assert not finished(other, prepared, folder)
    sentences = capsys.readouterr().err.splitlines()
    assert len(sentences) == len(plan(other))
    assert all(f"does not count: train.lr: {config.train.lr} there, 0.125 here" in sentence for sentence in sentences)
    assert "Missing: " in tables(other, [])[-1]


def test_a_record_that_was_edited_is_refused(recorded: tuple[RunConfig, Prepared, Path], tmp_path: Path) -> None:
    config, prepared, folder = recorded
    copy = Path(shutil.copytree(folder, tmp_path / "records"))
    uniform = next(planned for planned in plan(config) if str(planned.system) == "uniform")
    path = next(copy.glob("uniform_seed0-*.json"))
    content = json.loads(path.read_text())
    content["depends_on"]["train"]["lr"] = 1.0
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"should be named `uniform_seed0-.*\.json` by its content: restore the file"):
        find_record(copy, uniform, prepared)
    path.write_text("{}")
    with pytest.raises(InputError, match=r"is no record of a run \(label: Field required\): restore"):
        find_record(copy, uniform, prepared)


def test_a_system_counts_at_the_seeds_of_which_all_tasks_are_there() -> None:
    def of(system: str, seed: int, **auc: float) -> Record:
        test = {task: {"auc": value} for task, value in auc.items()}
        return Record.model_construct(system=system, seed=seed, test=test)

    records = [of("single-task", 0, a=0.5), of("single-task", 0, b=0.6), of("single-task", 1, a=0.5)]
    found = Finished.of(["a", "b"], ["single-task", "uniform"], [*records, of("uniform", 1, a=0.7, b=0.8)])
    assert found.aucs == {"single-task": {0: {"a": 0.5, "b": 0.6}}, "uniform": {1: {"a": 0.7, "b": 0.8}}}
    assert found.begun == {"single-task": {1: {"a": 0.5}}}
    assert found.common("uniform", "single-task") == []
    assert [*one_seed(found, 1, {})][2:] == [
        "| `uniform` | 0.7000 | 0.8000 | - | - |",
        "| `single-task` | 0.5000 | - | - | - |",
    ]
    whole = Finished.of(found.tasks, found.systems, [*records[:2], of("uniform", 0, a=0.7, b=0.5)])
    assert [line.split(" | ")[-1] for line in [*one_seed(whole, 0, {})][2:]] == ["1.50 |", "1.50 |"]


def test_an_interval_over_seeds_is_students() -> None:
    # Three values 0, 1, 2: a standard error of 1 / sqrt(3), and 4.3027 is the quantile of Student's t of two degrees.
    assert interval([0.0, 1.0, 2.0], 3) == "+1.000 [-1.484, +3.484]"


def test_the_papers_rows_have_our_systems_names() -> None:
    config = load_config(ROOT / "configs" / "census-paper.toml")
    assert {*papers_rows(ROOT / "tests" / "data" / "gradops_table1_census.csv")} == {
        str(p.system) for p in plan(config)
    }


def test_the_committed_tables_are_those_of_the_committed_records() -> None:
    folder, config = ROOT / "docs" / "results" / "census-paper", load_config(ROOT / "configs" / "census-paper.toml")
    records = {record.label: record for record in map(Record.load, folder.glob("*.json"))}
    ordered = [records[p.label] for p in plan(config) if p.label in records]
    assert len(ordered) == len(records)
    assert len({record.depends_on["data"] for record in ordered}) == 1
    assert (folder / TABLES).read_text().splitlines()[2:] == tables(config, ordered)
