"""The scheduled job, day by day, on a log that grows."""

from __future__ import annotations

import json
import re
import signal
import time
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobs.progress import TrainingProgress
from pipeline.daily.history import History
from pipeline.daily.job import DailyJob
from pipeline.registry.model import RegisteredModel
from pipeline.tracking.store import connect
from pipeline.training.resolve import load_config
from pipeline.validation import duplicates, values
from tests.pipeline.daily.daily_shop import daily, open_shop, record, started, write_day


def champion() -> int | None:
    return RegisteredModel("shop").aliases.get("champion")


def killed(number: int) -> None:
    """The job as a process, killed while it trains."""
    process = started(number)
    while not any(Path("runs/checkpoints").glob("*/step-*")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_seven_days() -> None:
    """A corrupt day, one with wrong labels, one that is killed and run twice: the story is told as it was."""
    open_shop(0)
    for number in (1, 2):
        write_day(number)
        code, out, _ = daily(number)
        assert code == 0
        assert f"2026-01-0{number} admitted: {number} of the 3 days that the first run needs" in out

    write_day(3)
    assert daily(3)[0] == 0
    assert (record(3).status, record(3).start_from, champion()) == ("promoted", "", 1)

    path = write_day(4)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, out, _ = daily(4)
    assert code == 2
    assert "2026-01-04 rejected: " in out
    assert f"{path} is not a readable Parquet file" in out
    assert champion() == 1

    write_day(5, wrong=True)
    code, out, _ = daily(5)
    assert code == 3
    assert "2026-01-05 suspect: " in out
    assert "2026-01-04 left out (rejected)" in out
    assert "AUC of buy on the day: " in out
    assert champion() == 1
    assert record(5).version == 2

    write_day(6)
    killed(6)
    assert record(6).status == "begun"
    assert daily(6)[0] == 0
    first = record(6)
    assert first.status == "promoted"
    assert first.start_from == record(3).run
    assert set(first.left_out.values()) == {"rejected", "suspect"}
    cards = {
        number: connect().get_model_version("shop", str(number)).description or "" for number in (2, first.version)
    }
    assert f"**Trained** from the weights of run `{first.start_from}` on days before 2026-01-06" in cards[first.version]
    assert "**Gate** It passed every check." in cards[first.version]
    assert "**Gate** It did not pass: " in cards[2]
    assert all("`gradops compare` does, in its report" in card for card in cards.values())
    code, out, _ = daily(6)
    assert code == 0
    assert "2026-01-06 promoted before, nothing to do" in out
    assert record(6) == first

    write_day(7)
    code, out, _ = daily(7, "--json")
    assert code == 0
    (last,) = json.loads(out)
    assert last["status"] == "promoted"
    assert last["start_from"] == first.run
    _the_registry_tells_the_story()
    _the_runs_tell_the_story()
    _the_pages_tell_the_story()


def _the_registry_tells_the_story() -> None:
    model = RegisteredModel("shop")
    assert model.aliases == {"champion": 4, "previous": 3}
    decisions = {version.number: version.tags["gate"] for version in model.versions()}
    assert decisions == {1: "passed", 2: "refused", 3: "passed", 4: "passed"}
    assert "AUC of buy on the day" in model.version(2).tags["gate.why"]


def _the_runs_tell_the_story() -> None:
    client = connect()
    experiment = client.get_experiment_by_name("shop")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    days = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert sorted(run.info.run_name for run in days) == [f"day 2026-01-0{n}" for n in (3, 5, 6, 7)]
    assert {run.info.status for run in runs} == {"FINISHED"}, "what the killed job left open is closed"
    trained = [run for run in runs if "gradops.fingerprint" in run.data.tags and run not in days]
    assert len(trained) == 4, "day 6 was trained once"
    pages = {f.path for run in days for f in client.list_artifacts(run.info.run_id)}
    assert {f"2026-01-0{n}.md" for n in (3, 5, 6, 7)} <= pages


def _the_pages_tell_the_story() -> None:
    pages = {path.stem: path.read_text() for path in Path("runs/daily/shop").glob("*.md")}
    assert set(pages) == {f"2026-01-0{n}" for n in range(1, 8)}
    assert "# 2026-01-05: suspect" in pages["2026-01-05"]
    assert "| AUC of buy on the day | **failed** |" in pages["2026-01-05"]
    assert "- left out: 2026-01-05, suspect" in pages["2026-01-06"]
    assert "- version 4 is the champion" in pages["2026-01-07"]


@pytest.mark.slow
def test_a_back_fill_does_every_day_and_a_mended_day_is_read_again() -> None:
    open_shop(3)
    path = write_day(4)
    good = path.read_bytes()
    path.write_bytes(b"PAR1")
    write_day(5)
    code, out, _ = daily(5, "--since", "2026-01-01")
    assert code == 2, "a rejected day is not passed over in silence"
    assert [line.split(":")[0] for line in out.splitlines()] == [
        "2026-01-01 admitted",
        "2026-01-02 admitted",
        "2026-01-03 promoted",
        "2026-01-04 rejected",
        "2026-01-05 promoted",
    ]
    path.write_bytes(good)
    code, out, _ = daily(5, "--since", "2026-01-04")
    assert code == 0
    assert "2026-01-04 admitted: 2026-01-05 was decided before" in out
    assert "2026-01-05 promoted before, nothing to do" in out
    write_day(6)
    assert daily(6)[0] == 0
    assert record(6).left_out == {}
    assert record(6).rows["train"] == 1500 * 4


def test_a_day_that_repeats_another_is_rejected_and_the_others_are_not() -> None:
    open_shop(3)
    folder = Path("log/dt=2026-01-04")
    folder.mkdir()
    pl.read_parquet("log/dt=2026-01-03/part-0.parquet").write_parquet(folder / "part-0.parquet")
    code, out, _ = daily(4)
    assert code == 2
    assert "data.train repeats" in out
    assert record(4).is_left_out


def test_what_is_wrong_with_other_days_is_no_fault_of_the_new_one() -> None:
    open_shop(3)
    Path("log/dt=2026-01-02/part-0.parquet").write_bytes(b"PAR1")
    code, _, err = daily(3)
    assert code == 2
    assert "log/dt=2026-01-02/part-0.parquet is not a readable Parquet file" in err
    assert History(load_config(Path("shop.toml"))).of(date(2026, 1, 3)) is None


def test_the_log_is_validated_once_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever becomes of the day: only checked, promoted, rejected, found done, stopped by the days before it."""
    passes: list[int] = []
    find_breaches, find_repeats = values.find_breaches, duplicates.find_repeats

    def looking(files: Any, *arguments: Any) -> Any:
        passes.append(len(files))
        return find_breaches(files, *arguments)

    def comparing(files: Any, *arguments: Any) -> Any:
        passes.append(len(files["train"]))
        return find_repeats(files, *arguments)

    monkeypatch.setattr(values, "find_breaches", looking)
    monkeypatch.setattr(duplicates, "find_repeats", comparing)
    open_shop(3)
    assert daily(2)[0] == 0
    assert passes == [1, 1], "two days are too few: the second one is checked alone"
    assert daily(3)[0] == 0
    assert passes[2:] == [3, 3]
    write_day(4).write_bytes(b"PAR1")
    assert daily(4)[0] == 2
    assert passes[4:] == [3, 3], "the file that cannot be read has no rows to look at"
    assert daily(3)[0] == 0
    Path("log/dt=2026-01-02/part-0.parquet").write_bytes(b"PAR1")
    write_day(5)
    assert daily(5)[0] == 2
    assert passes[6:] == [3, 3], "the fourth day is left out, the second one is to blame"
    assert History(load_config(Path("shop.toml"))).of(date(2026, 1, 5)) is None


def test_records_of_earlier_revisions_are_read() -> None:
    """As one was written before the steps of a day became states."""
    open_shop(0)
    history = History(load_config(Path("shop.toml")))
    text = """{
 "day": "2026-01-05",
 "status": "suspect",
 "files": {"log/dt=2026-01-05/part-0.parquet": "d168c8ec"},
 "by_hand": false,
 "reasons": ["AUC of buy on the day: AUC 0.2810, 0.7190 on the day before; at most 0.05 lower"],
 "left_out": {"2026-01-04": "rejected"},
 "start_from": "508d9cd65db8fe52",
 "data": "df44dfe776767391",
 "rows": {"train": 1500, "val": 1500, "test": 1500},
 "run": "508d9cd65db8fe52",
 "auc": {"buy": 0.281, "wish": 0.7221269052770819},
 "version": 2,
 "champion": 1,
 "checks": [{"name": "scores", "passed": true, "found": "1500 rows, all of them", "rule": "every row gets a score"}],
 "drift": [{"feature": "price", "psi": null, "null": null, "unknown": null, "shift": 0.02}],
 "positives": {"buy": [0.5013, 0.4987]},
 "began": "2026-01-06T03:00:00.000001Z",
 "written": "2026-01-06T03:05:00.000001Z"
}"""
    history.folder.mkdir(parents=True)
    history.path(date(2026, 1, 5)).write_text(text)
    (found,) = history
    assert found == record(5)
    assert found.is_decided
    assert history.left_out() == {date(2026, 1, 5): "suspect"}
    history.save(found)
    assert json.loads(history.path(date(2026, 1, 5)).read_text()) == json.loads(text) | {"auc_error": {}}


@pytest.mark.slow
def test_a_person_may_admit_a_day() -> None:
    open_shop(3)
    write_day(4, wrong=True)
    assert daily(4, "--since", "2026-01-03")[0] == 3
    assert record(4).is_left_out
    code, out, _ = daily(4, "--admit")
    assert code == 0
    assert "admitted by hand" in out
    assert daily(4, "--since", "2026-01-03")[0] == 0, "it is not asked again"
    assert not History(load_config(Path("shop.toml"))).left_out()
    code, _, err = daily(3, "--admit")
    assert code == 2
    assert "2026-01-03 is promoted: later days read it already" in err


def test_what_would_break_later_days_is_not_admitted() -> None:
    open_shop(3)
    write_day(4).write_bytes(b"PAR1")
    assert daily(4)[0] == 2
    code, _, err = daily(4, "--admit")
    assert code == 2
    assert "is not a readable Parquet file" in err
    assert record(4).status == "rejected"


def test_a_day_without_a_class_is_suspect_and_days_before_it_are_only_too_few() -> None:
    open_shop(3)
    expected = {1: (0, "admitted: .*train: task `buy` has 0"), 3: (3, "suspect: .*test: task `buy` has 0")}
    for number, (code, words) in expected.items():
        path = Path(f"log/dt=2026-01-0{number}/part-0.parquet")
        rows = pl.read_parquet(path)
        rows.with_columns(bought=pl.lit(0, pl.Int8)).write_parquet(path)
        found, out, _ = daily(3)
        assert found == code
        assert re.search(f"2026-01-03 {words} positives", out)
        rows.write_parquet(path)


def test_a_back_fill_begins_with_the_log_and_passes_days_that_may_be_empty() -> None:
    open_shop(2)
    write_day(4)
    code, out, err = daily(4, "--since", "2025-12-25")
    assert code == 2
    assert [line.split()[0] for line in out.splitlines()] == ["2026-01-01", "2026-01-02"]
    assert "there is no file below a folder dt=2026-01-03" in err
    job = DailyJob(
        load_config(Path("shop.toml"), ["contract.empty_days=true"]), lambda planned: TrainingProgress([planned])
    )
    assert job.days(date(2026, 1, 1), date(2026, 1, 4)) == [date(2026, 1, n) for n in (1, 2, 4)]


def test_days_that_the_config_leaves_out_are_not_read() -> None:
    open_shop(3)
    without = ["--set", "data.without=[2026-01-02]"]
    code, out, _ = daily(3, *without)
    assert code == 0
    assert "2 of the 3 days that the first run needs" in out
    code, _, err = daily(2, *without)
    assert code == 2
    assert "2026-01-02 is excluded by the config" in err


def test_no_files_and_an_unfit_config_are_said_at_once() -> None:
    open_shop(0)
    code, _, err = daily(9)
    assert code == 2
    assert "there is no file below a folder dt=2026-01-09" in err
    unfit = ["--set", "split={key='click'}", "--set", "data.holdout=log"]
    code, _, err = daily(9, *unfit)
    assert code == 2
    assert "2 problem(s)" in err
    assert "[split] should be by `time`" in err
    assert "data.holdout should be left out" in err


def test_a_folder_without_files_in_a_day_is_a_fault_of_that_day() -> None:
    """As Spark leaves one if it is stopped: the day is rejected, and the days after it go on without it."""
    open_shop(3)
    (write_day(4).parent / "job.parquet" / "_temporary").mkdir(parents=True)
    code, out, _ = daily(4)
    assert code == 2
    assert "2026-01-04 rejected: " in out
    assert "job.parquet is not a readable Parquet file (it is a folder without a Parquet file)" in out
    (Path("log/dt=2026-01-03/gone.parquet")).symlink_to("nowhere")
    code, out, _ = daily(3)
    assert (code, record(3).status) == (2, "rejected")
    assert "gone.parquet is not a readable Parquet file" in out
    Path("log/dt=2026-01-03/gone.parquet").unlink()
    assert record(4).is_left_out


@pytest.mark.slow
def test_days_may_gain_columns_and_have_gaps_and_lie_below_any_days_name() -> None:
    """Below year=/month=/day=: a column more, integers that are floats, a value that no row has, another unit."""
    open_shop(3)
    later = [write_day(number) for number in (4, 5)]
    changes = [
        {"campaign": pl.lit("spring"), "bought": pl.col("bought").cast(pl.Float64)},
        {"campaign": pl.lit(None), "at": pl.col("at").cast(pl.Datetime("ns")), "price": pl.lit(None)},
    ]
    for path, columns in zip(later, changes, strict=True):
        pl.read_parquet(path).with_columns(**columns).write_parquet(path)
    for number in range(1, 6):
        folder = Path(f"log/year=2026/month=1/day={number}")
        folder.mkdir(parents=True)
        Path(f"log/dt=2026-01-0{number}").rename(folder / "parts")
    assert daily(5)[0] in (0, 3)
    assert record(5).is_decided
    assert record(5).left_out == {}
    assert record(5).rows == {"train": 4500, "val": 1500, "test": 1500}
