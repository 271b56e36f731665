"""The scheduled job, killed at any point."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.daily.record import DayRecord
from pipeline.registry.model import RegisteredModel
from tests.pipeline.daily.daily_shop import daily, open_shop, record, started, write_day


@pytest.mark.slow
def test_kills_at_any_moment_change_nothing(tmp_path: Path) -> None:
    """A job that is killed again and again, a little later each time, ends as one that was let alone."""
    open_shop(3)
    assert daily(3)[0] == 0
    write_day(4)
    unbroken = _in_a_copy(tmp_path)
    kills, patience = 0, 2.0
    while True:
        process = started(4)
        try:
            code = process.wait(timeout=patience)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills, patience = kills + 1, patience + 1
    assert code == 0
    assert kills > 3
    last = record(4)
    model = RegisteredModel("shop")
    assert (last.status, last.version, model.aliases) == ("promoted", 2, {"champion": 2, "previous": 1})
    assert [version.number for version in model.versions()] == [1, 2]
    assert last.start_from == record(3).run
    assert model.acquired() is None
    assert (last.run, last.auc) == (unbroken.run, unbroken.auc)


def _in_a_copy(here: Path) -> DayRecord:
    """What day 4 comes to in a copy of the shop, undisturbed."""
    copy = here.with_name(f"{here.name} copy")
    shutil.copytree(here, copy)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy}/mlflow.db")
        assert daily(4)[0] == 0
        return record(4)
