"""Cleaning: what goes, what stays and why, for a year of days and for everything else that needs files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from filelock import FileLock
from optuna.trial import TrialState

from features.errors import InputError
from pipeline.cleaning import data as data_module
from pipeline.cleaning import entry as entry_module
from pipeline.cleaning.clean import Cleaning, clean
from pipeline.config.age import parse_age
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.registry.retention import Pointed, VersionFiles
from pipeline.search.journal import open_journal
from pipeline.search.storage import quiet
from pipeline.tracking.pending import PendingRun, PendingRuns
from tests.commands import run
from tests.pipeline.cleaning.fake_days import DAY, START, at, data_of_day, day, disk, pointed, run_of_day
from tests.pipeline.small_shop import shop_config, write_config

KEEP = timedelta(days=14)


@dataclass
class Registry:
    """A registry without MLflow."""

    aliased: list[Pointed] = field(default_factory=list)
    files: list[VersionFiles] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    there = Registry()
    monkeypatch.setattr("pipeline.cleaning.needs.aliased_versions", lambda: there.aliased)
    monkeypatch.setattr("pipeline.cleaning.clean.files_of_versions", lambda _: there.files)
    monkeypatch.setattr("pipeline.cleaning.clean.remove_files", lambda files: there.removed.append(files.number))
    return there


def on(number: float, config: RunConfig | None = None, *, dry_run: bool = False) -> Cleaning:
    """Clean on a day."""
    return clean(config or shop_config(), KEEP, dry_run=dry_run, now=START + DAY * number)


def why(cleaning: Cleaning, path: Path) -> str:
    """The reason why a path stays; empty if it goes."""
    (found,) = [entry for entry in cleaning.entries if entry.name == str(path)]
    return "" if found.goes else found.why


@pytest.mark.parametrize(
    ("days", "every"),
    [(45, 20), *(pytest.param(365, every, marks=pytest.mark.slow) for every in (1, 20, 1000))],
    ids=["weeks, seldom promoted", "always promoted", "seldom promoted", "never again"],
)
def test_days_do_not_fill_a_disk(registry: Registry, days: int, every: int) -> None:
    config, sizes = shop_config(), []
    for number in range(days):
        made = day(config, number)
        if number % every == 0:
            registry.aliased = [pointed(*made), *registry.aliased[:1]]
        on(number)
        served = registry.aliased[0]
        assert (config.runs / str(served.run) / "result.json").exists()
        assert str(served.data) in made[1].lineage(), "a warm start finds its way to the champion"
        manifests = disk(*(path for path in config.data.prepared.glob("*/") if Prepared.find(path) is None))
        sizes.append(disk(config.runs, config.data.prepared) - manifests - disk(config.runs / "daily"))
        assert manifests <= 2000 * days
    assert max(sizes[-10:]) <= 1.3 * max(sizes[15:30]), "the first weeks fill the disk as far as the last"


def test_sizes_are_those_that_the_disk_gets_back(registry: Registry) -> None:
    config = shop_config()
    for number in range(20):
        made = day(config, number)
    registry.aliased = [pointed(*made)]
    before = disk(config.runs, config.data.prepared)
    cleaning = on(50)
    assert len(cleaning.going) == 38
    assert sum(entry.size for entry in cleaning.going) == before - disk(config.runs, config.data.prepared)


def _unsent(config: RunConfig, run: Path, _: Prepared, registry: Registry) -> None:
    PendingRuns(config.runs).add(PendingRun("other", "uniform seed 0", run.name, {}, {}))


def _aliased(config: RunConfig, run: Path, prepared: Prepared, registry: Registry) -> None:
    registry.aliased.append(pointed(run, prepared, "another-model"))


def _unfinished(config: RunConfig, run: Path, prepared: Prepared, registry: Registry) -> None:
    _study(config, "curve", prepared, done=False)


def _other_name(config: RunConfig, run: Path, prepared: Prepared, registry: Registry) -> None:
    content = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(content | {"name": "sister"}))


def _unreadable(config: RunConfig, run: Path, prepared: Prepared, registry: Registry) -> None:
    (run / "config.json").write_text("{")


def _study(config: RunConfig, name: str, prepared: Prepared, *, done: bool) -> None:
    (config.runs / "studies").mkdir(parents=True, exist_ok=True)
    with quiet():
        journal = config.runs / "studies" / f"{name}.journal"
        journal.touch()
        study = optuna.create_study(study_name=name, storage=open_journal(journal))
        study.set_user_attr("gradops.depends_on", {"data": prepared.fingerprint, "name": name})
        for place in range(2):
            study.enqueue_trial({}, user_attrs={"gradops.place": place})
        for _ in range(2 if done else 1):
            trial = study.ask()
            trial.set_user_attr("gradops.point", {})
            study.tell(trial, 0.5, state=TrialState.COMPLETE)


@pytest.mark.parametrize(
    ("needed_by", "reason"),
    [
        (_unsent, "it is not recorded in MLflow yet"),
        (_aliased, "an alias of `another-model` points at it"),
        (_unfinished, "the study `curve` is unfinished"),
        (_other_name, "of the config `sister`"),
        (_unreadable, "its config cannot be read"),
    ],
)
def test_a_needed_run_stays(
    registry: Registry, needed_by: Callable[[RunConfig, Path, Prepared, Registry], None], reason: str
) -> None:
    config = shop_config()
    old, other = data_of_day(config, 0, grown=False), data_of_day(config, 1, grown=False)
    kept, gone = run_of_day(config, 0, old), run_of_day(config, 1, other)
    needed_by(config, kept, old, registry)
    cleaning = on(100)
    assert why(cleaning, kept) == reason
    assert why(cleaning, gone) == ""
    assert kept.exists()
    assert not gone.exists()
    assert needed_by is _unreadable or old.folder.exists()


def test_a_finished_study_needs_nothing(registry: Registry) -> None:
    config = shop_config()
    old, _ = data_of_day(config, 0, grown=False), data_of_day(config, 1, grown=False)
    trained = run_of_day(config, 0, old)
    _study(config, "curve", old, done=True)
    assert why(on(100), trained) == ""


def test_a_damaged_journal_stops_cleaning(registry: Registry) -> None:
    config = shop_config()
    trained = run_of_day(config, 0, data_of_day(config, 0))
    _study(config, "curve", data_of_day(config, 1), done=True)
    journal = config.runs / "studies" / "curve.journal"
    journal.write_bytes(b"\0" * 40 + journal.read_bytes())
    with pytest.raises(InputError, match=r"line 1 of .*curve.journal is damaged"):
        on(100)
    assert trained.exists()


def test_checkpoints_and_drafts(registry: Registry) -> None:
    config = shop_config()
    folders = [config.runs / "checkpoints" / f"{number:016x}" for number in range(3)]
    for folder, number in zip(folders, (0, 0, 99), strict=True):
        folder.mkdir(parents=True)
        at(folder, number)
    draft = config.runs / ".0123456789abcdef.1.draft"
    draft.mkdir()
    at(draft, 0)
    (config.runs / "my-notes").mkdir()
    with FileLock(folders[1].with_suffix(".lock")):
        cleaning = on(100)
    assert [why(cleaning, folder) for folder in folders] == ["", "the run is in progress", "newer"]
    assert [folder.exists() for folder in (*folders, draft)] == [False, True, True, False]
    assert (config.runs / "my-notes").exists(), "what is not ours is not judged"


@pytest.mark.parametrize("lock", ["runs/sister.lock", "runs/checkpoints/0.lock", "prepared/.lock"])
def test_data_stays_while_another_command_may_read_it(registry: Registry, lock: str) -> None:
    config = shop_config()
    old, _ = data_of_day(config, 0, grown=False), data_of_day(config, 1, grown=False)
    Path(lock).parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        assert "another command" in why(on(100), old.folder)
    assert why(on(100), old.folder) == ""
    assert not old.folder.exists()


def test_a_kill_in_the_middle_leaves_nothing_that_passes_for_whole(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = shop_config()
    old, _ = data_of_day(config, 0, grown=False), data_of_day(config, 1, grown=False)
    trained = run_of_day(config, 0, old)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    for module in (entry_module, data_module):
        with monkeypatch.context() as patch:
            patch.setattr(module, "shutil", type("Shutil", (), {"rmtree": staticmethod(killed)}))
            with pytest.raises(KeyboardInterrupt):
                on(100)
        assert not trained.exists()
    assert old.folder.exists()
    assert Prepared.find(old.folder) is None
    on(200)
    assert not old.folder.exists()
    assert not list(config.runs.glob(".*.draft"))


def test_files_of_versions_without_an_alias_go(registry: Registry) -> None:
    registry.files = [VersionFiles("shop", n, START + DAY * n, f"models:/m-{n}", 1000) for n in (1, 2, 99)]
    registry.aliased = [Pointed("sister", None, None, "models:/m-2")]
    on(100, dry_run=True)
    assert registry.removed == []
    cleaning = on(100)
    assert registry.removed == [1]
    assert sum(entry.size for entry in cleaning.going) == 1000


@pytest.mark.parametrize("text", ["", "14", "0d", "-1d", "14 days", "1h", "d", "1.5w"])
def test_an_age_is_days_or_weeks(text: str) -> None:
    with pytest.raises(ValueError, match=r"days or weeks, at least one, as `14d` or `8w`"):
        parse_age(text)
    assert (parse_age("14d"), parse_age("8w")) == (timedelta(14), timedelta(56))


def test_the_command(registry: Registry) -> None:
    path, config = str(write_config()), shop_config()
    old, _ = data_of_day(config, 0, grown=False), data_of_day(config, 1, grown=False)
    code, _, said = run("clean", path)
    assert code == 2
    assert "`--keep 14d`" in said
    code, _, said = run("clean", path, "--keep", "14")
    assert code == 2
    assert "as `14d` or `8w`" in said
    shutil.copytree(old.folder, config.data.prepared / "backup")
    with FileLock("runs/shop.lock"):
        assert run("clean", path, "--keep", "14d")[0] == 4
    assert old.folder.exists()


@pytest.mark.parametrize("tells", ["shop-0a1b2c3d.json", "shop-ffffffff.json"])
def test_a_registry_without_the_model_of_a_comparison_is_refused(tells: str, registry: Registry) -> None:
    del registry
    config = shop_config()
    run_of_day(config, 0, data_of_day(config, 0))
    result = Path("runs/comparisons") / tells
    result.parent.mkdir(parents=True)
    result.touch()
    before = disk(Path())
    with pytest.raises(InputError, match=r"comparisons/shop-.* tells of registered models .* nothing is removed"):
        on(40)
    assert disk(Path()) == before


@pytest.mark.parametrize("other", ["shop-window-0a1b2c3d.json", "shop-0a1b2c3d.md", "shops-0a1b2c3d.json"])
def test_a_comparison_of_another_config_tells_nothing(other: str, registry: Registry) -> None:
    del registry
    result = Path("runs/comparisons") / other
    result.parent.mkdir(parents=True)
    result.touch()
    on(40)
