"""Cleaning after days of the scheduled job: the model in service, its way back and the next day lose nothing."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path

import pytest

from features.errors import InputError
from pipeline.cleaning import clean as cleaning_module
from pipeline.cleaning.clean import Cleaning, clean
from pipeline.data.prepared import Prepared
from pipeline.registry.model import RegisteredModel
from pipeline.registry.promotion import rollback
from pipeline.registry.retention import aliased_versions, files_of_versions
from pipeline.tracking.store import connect
from pipeline.training.resolve import load_config
from tests.commands import run
from tests.pipeline.daily.daily_shop import daily, open_shop, record, write_day

FORTNIGHT = timedelta(days=14)


def later(days: float = 30) -> float:
    return time.time() + 86400 * days


def cleaned(*, dry_run: bool = False) -> Cleaning:
    """Everything is a month old."""
    return clean(load_config(Path("shop.toml")), FORTNIGHT, dry_run=dry_run, now=later())


def names(cleaning: Cleaning, kind: str, *, goes: bool) -> set[str]:
    return {Path(one.name).name for one in cleaning.entries if one.kind == kind and one.goes == goes}


def runs() -> set[str]:
    return {path.parent.name for path in Path("runs").glob("*/result.json")}


def files() -> dict[str, int]:
    paths = [path for top in ("runs", "prepared", "mlartifacts") for path in Path(top).rglob("*") if path.is_file()]
    return {str(path): path.stat().st_mtime_ns for path in paths if path.suffix != ".lock" and path.name != ".lock"}


@pytest.mark.slow
def test_days_a_month_later() -> None:
    open_shop(0)
    for number in range(1, 6):
        write_day(number)
        assert daily(number)[0] == 0
    served, before = record(5), record(4)
    assert RegisteredModel("shop").aliases == {"champion": served.version, "previous": before.version}

    there = files()
    planned = cleaned(dry_run=True)
    assert files() == there, "a dry run removes nothing"
    _everything_that_is_needed_stays(planned)
    done = cleaned()
    assert [(one.name, one.goes, one.why) for one in done.entries] == [
        (one.name, one.goes, one.why) for one in planned.entries
    ]
    assert runs() == {served.run, before.run}
    assert {one.number for one in files_of_versions("shop")} == {served.version, before.version}
    assert not cleaned().going, "there is no more to remove"

    _the_next_day_goes_on_from_the_champion()
    _the_way_back_is_there()


def _everything_that_is_needed_stays(planned: Cleaning) -> None:
    served, before = record(5), record(4)
    assert names(planned, "run", goes=False) == {served.run, before.run}
    assert names(planned, "run", goes=True) == {record(3).run}
    assert names(planned, "prepared data", goes=False) == {served.data, before.data}
    assert names(planned, "prepared data", goes=True) == {record(3).data}
    assert names(planned, "model files", goes=False) == {f"shop version {n}" for n in (served.version, before.version)}
    assert all(entry.size > 0 for entry in planned.going)


def _the_next_day_goes_on_from_the_champion() -> None:
    served = record(5)
    write_day(6)
    assert daily(6)[0] == 0
    assert (record(6).status, record(6).start_from) == ("promoted", served.run)


def _the_way_back_is_there() -> None:
    rollback("shop", "the shop's front page has changed")
    assert RegisteredModel("shop").aliases["champion"] == record(5).version
    code, _, said = run("promote", "shop.toml", "--version", "1")
    assert code == 2
    assert "`gradops clean` has removed the files of `shop` version 1 (" in " ".join(said.split())


@pytest.mark.slow
def test_a_long_champion_and_the_data_between() -> None:
    """The champion is older than the newest data by several days: the next day still starts from it."""
    open_shop(0)
    for number in range(1, 6):
        write_day(number)
        strict = [] if number <= 3 else ["--set", "gate.min_positives=100000"]
        daily(number, *strict)
    assert [record(n).status for n in (3, 4, 5)] == ["promoted", "refused", "refused"]
    Path("runs/.0123456789abcdef.77.draft").mkdir()
    planned = cleaned()
    assert names(planned, "prepared data", goes=True) == {record(4).data}
    assert [path.name for path in Path(f"prepared/{record(4).data}").iterdir()] == ["manifest.json"]
    assert Prepared.find(Path(f"prepared/{record(4).data}")) is None
    assert names(planned, "draft", goes=True) == {".0123456789abcdef.77.draft"}
    write_day(6)
    assert daily(6)[0] == 0
    assert (record(6).status, record(6).start_from) == ("promoted", record(3).run)
    assert names(cleaned(), "prepared data", goes=True) == {record(5).data}
    for number in (4, 5):
        assert [path.name for path in Path(f"prepared/{record(number).data}").iterdir()] == ["manifest.json"]


@pytest.mark.slow
def test_keep_in_the_config_cleans_after_each_day(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now = time.time()

        @classmethod
        def time(cls) -> float:
            return cls.now

    monkeypatch.setattr(cleaning_module, "time", Clock)
    open_shop(0)
    Path("shop.toml").write_text(Path("shop.toml").read_text() + '[daily]\nkeep = "1d"\n')
    told = []
    for number in range(1, 6):
        write_day(number)
        Clock.now += 2 * 86400
        code, out, _ = daily(number)
        assert code == 0
        told.append(out)
    assert "cleaned: 1 run, " in told[-1]
    assert len(runs()) <= 2
    code, out, _ = run("clean", "shop.toml", "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["dry_run"]


@pytest.mark.slow
def test_another_store_than_that_of_the_days_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    open_shop(3)
    daily(3, "--since", "2026-01-01")
    there = files()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(InputError, match="has no alias of that model: see whether MLFLOW_TRACKING_URI names the store"):
        cleaned()
    assert files() == there
    assert not (tmp_path / "other.db").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    code, _, said = run("clean", "shop.toml", "--keep", "1d")
    assert code == 1
    assert "nothing is removed" in said
    assert files() == there


@pytest.mark.slow
def test_an_alias_by_hand_keeps_a_version_and_its_files() -> None:
    open_shop(3)
    daily(3, "--since", "2026-01-01")
    connect().delete_registered_model_alias("shop", "champion")
    connect().set_registered_model_alias("shop", "audit-2026", "1")
    assert len(aliased_versions()) == 1
    assert not cleaned().going
