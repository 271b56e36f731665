"""The scheduled job, day by day, on a log that grows."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from jobs.cli import app
from pipeline.config_file import load
from pipeline.dayentry import Entry
from pipeline.diary import Diary
from pipeline.registered import RegisteredModel
from pipeline.tracking import connect
from tests.conftest import ROOT
from tests.pipeline.shop import clicks

TOML = """
name = "shop"
[data]
train = "log"
[split]
time = "at"
validation = 2026-01-02
test = 2026-01-03
[contract]
unique = ["click"]
[spec]
group = "user"
[spec.features]
item = { kind = "categorical" }
price = { kind = "numeric", buckets = 0 }
[spec.tasks]
buy = { positive = "bought = 1" }
wish = { positive = "wished = 1" }
[model]
bottom = [16]
dropout = 0.0
[train]
epochs = 1
batch_size = 64
lr = 1e-2
checkpoint_every = 8
[gate]
margin = 0.05
calibration = [0.5, 2.0]
resamples = 200
"""


def write_day(number: int, *, wrong: bool = False) -> Path:
    """A day of clicks; with wrong labels, those that the columns tell the opposite of."""
    start = datetime(2026, 1, number)
    rows = clicks(1500, seed=number, wrong=wrong).with_columns(
        pl.col("click") + 10_000 * number,
        at=pl.Series([start + timedelta(seconds=50 * k) for k in range(1500)]),
    )
    folder = Path(f"log/dt={start.date()}")
    folder.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(folder / "part-0.parquet")
    return folder / "part-0.parquet"


def daily(number: int, *options: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["daily", "shop.toml", "--date", f"2026-01-{number:02}", *options])
    return result.exit_code, result.stdout, result.stderr


def entry(number: int) -> Entry:
    found = Diary(load(Path("shop.toml"))).of(date(2026, 1, number))
    assert found is not None
    return found


def champion() -> int | None:
    return RegisteredModel("shop").aliases.get("champion")


def started(number: int) -> subprocess.Popen[bytes]:
    """The job as a process."""
    command = [sys.executable, "-c", "from jobs.cli import app; app()", "daily", "shop.toml"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*command, "--date", f"2026-01-{number:02}"], env=environment)


def killed(number: int) -> None:
    """The job as a process, killed while it trains."""
    process = started(number)
    while not any(Path("runs/checkpoints").glob("*/step-*")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.fixture(autouse=True)
def _shop() -> None:
    Path("shop.toml").write_text(TOML)


def test_seven_days() -> None:
    """A corrupt day, one with wrong labels, one that is killed and run twice: the story is told as it was."""
    for number in (1, 2):
        write_day(number)
        code, out, _ = daily(number)
        assert code == 0
        assert f"2026-01-0{number} admitted: {number} of the 3 days that the first run needs" in out

    write_day(3)
    assert daily(3)[0] == 0
    assert (entry(3).status, entry(3).start_from, champion()) == ("promoted", "", 1)

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
    assert entry(5).version == 2

    write_day(6)
    killed(6)
    assert entry(6).status == "begun"
    assert daily(6)[0] == 0
    first = entry(6)
    assert first.status == "promoted"
    assert first.start_from == entry(3).run
    assert set(first.left_out.values()) == {"rejected", "suspect"}
    code, out, _ = daily(6)
    assert code == 0
    assert "2026-01-06 promoted before, nothing to do" in out
    assert entry(6) == first

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


@pytest.fixture
def three_days() -> None:
    for number in (1, 2, 3):
        write_day(number)


@pytest.mark.usefixtures("three_days")
def test_a_back_fill_does_every_day_and_a_mended_day_is_read_again() -> None:
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
    assert entry(6).left_out == {}
    assert entry(6).rows["train"] == 1500 * 4


@pytest.mark.usefixtures("three_days")
def test_a_day_that_repeats_another_is_rejected_and_the_others_are_not() -> None:
    folder = Path("log/dt=2026-01-04")
    folder.mkdir()
    pl.read_parquet("log/dt=2026-01-03/part-0.parquet").write_parquet(folder / "part-0.parquet")
    code, out, _ = daily(4)
    assert code == 2
    assert "data.train repeats" in out
    assert entry(4).is_left_out


@pytest.mark.usefixtures("three_days")
def test_what_is_wrong_with_other_days_is_no_fault_of_the_new_one() -> None:
    Path("log/dt=2026-01-02/part-0.parquet").write_bytes(b"PAR1")
    code, _, err = daily(3)
    assert code == 2
    assert "log/dt=2026-01-02/part-0.parquet is not a readable Parquet file" in err
    assert Diary(load(Path("shop.toml"))).of(date(2026, 1, 3)) is None


@pytest.mark.usefixtures("three_days")
def test_a_person_may_admit_a_day() -> None:
    write_day(4, wrong=True)
    assert daily(4, "--since", "2026-01-03")[0] == 3
    assert entry(4).is_left_out
    code, out, _ = daily(4, "--admit")
    assert code == 0
    assert "admitted by hand" in out
    assert not Diary(load(Path("shop.toml"))).left_out()


def test_no_files_and_an_unfit_config_are_said_at_once() -> None:
    code, _, err = daily(9)
    assert code == 2
    assert "there is no file below a folder dt=2026-01-09" in err
    unfit = ["--set", "split={key='click'}", "--set", "data.holdout=log"]
    code, _, err = daily(9, *unfit)
    assert code == 2
    assert "2 problem(s)" in err
    assert "[split] should be by `time`" in err
    assert "data.holdout should be left out" in err


@pytest.mark.slow
@pytest.mark.usefixtures("three_days")
def test_kills_at_any_moment_change_nothing(tmp_path: Path) -> None:
    """A job that is killed again and again, a little later each time, ends as one that was let alone."""
    assert daily(3)[0] == 0
    write_day(4)
    unbroken = _in_a_copy(tmp_path)
    kills, patience = 0, 0.0
    while True:
        process = started(4)
        try:
            code = process.wait(timeout=patience)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills, patience = kills + 1, patience + 0.5
    assert code == 0
    assert kills > 5
    last = entry(4)
    model = RegisteredModel("shop")
    assert (last.status, last.version, model.aliases) == ("promoted", 2, {"champion": 2, "previous": 1})
    assert [version.number for version in model.versions()] == [1, 2]
    assert last.start_from == entry(3).run
    assert model.claimed() is None
    assert (last.run, last.auc) == (unbroken.run, unbroken.auc)


def _in_a_copy(here: Path) -> Entry:
    """What day 4 comes to in a copy of the shop, undisturbed."""
    copy = here.with_name(f"{here.name} copy")
    shutil.copytree(here, copy)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy}/mlflow.db")
        assert daily(4)[0] == 0
        return entry(4)
