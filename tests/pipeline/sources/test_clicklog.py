"""The generated click log: its content, and equal bytes however it was made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.testing
import pyarrow.parquet as pq
import pytest
from filelock import FileLock, Timeout

from features.errors import InputError
from pipeline.sources import clicklog
from pipeline.sources.clicklog import FileSizes, Options, generate, parts, truth_folder
from pipeline.sources.clicktruth import RATES, TASKS, Truth, mixing
from pipeline.sources.clickworld import World
from tests.conftest import ROOT

OPTIONS = Options(rows=90_000, days=3, users=5_000, items=1_000, seed=3, conflict=1.0)
SMALL = FileSizes(chunk=20_000, row_group=8_192)
KEYS = {"click_id", "timestamp", "interest_weights", *TASKS}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("made") / "log"
    return folder, make(OPTIONS, folder)


def make(options: Options, folder: Path, told: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
    """A log in small files."""
    return generate(options, folder, told, SMALL)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_log_is_partitioned_sorted_and_typed(made: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = made
    assert sorted(p.name for p in folder.glob("dt=*")) == ["dt=2026-01-01", "dt=2026-01-02", "dt=2026-01-03"]
    log = pl.scan_parquet(folder / "**/*.parquet", hive_partitioning=True).collect()
    assert log.height == OPTIONS.rows
    assert len(set(log.columns) - KEYS - {"dt"}) == 46
    assert log.get_column("click_id").n_unique() == OPTIONS.rows
    assert log.get_column("timestamp").is_sorted()
    assert (log.get_column("timestamp").dt.date() == log.get_column("dt")).all()
    assert (log.get_column("timestamp").dt.hour() == log.get_column("hour")).all()
    assert [log.schema[c] for c in ("click_id", "wish", "user_segment", "item_tags", "query_terms")] == [
        pl.Int64, pl.Int8, pl.String, pl.List(pl.String), pl.List(pl.Int32),
    ]  # fmt: skip
    for path in folder.rglob("*.parquet"):
        metadata = pq.ParquetFile(path).metadata
        assert max(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)) <= 8_192


def test_features_have_nulls_tails_and_lists(made: tuple[Path, dict[str, Any]]) -> None:
    log = pl.read_parquet(made[0] / "**/*.parquet", hive_partitioning=False)
    clicks = log.group_by("user_id").len().sort("len", descending=True).get_column("len")
    assert clicks.head(50).sum() > 0.1 * log.height, "one user in a hundred makes a tenth of the clicks"
    assert clicks.len() > 0.9 * OPTIONS.users
    assert log.get_column("user_id").is_between(1, OPTIONS.users).all()
    assert log.get_column("distance_km").max() > 100 * log.get_column("distance_km").median()  # type: ignore[operator]
    assert 0.3 < log.get_column("distance_km").is_null().mean() < 0.4  # type: ignore[operator]
    interests, weights = log.get_column("interests"), log.get_column("interest_weights")
    assert 0.04 < interests.is_null().mean() < 0.08  # type: ignore[operator]
    assert set(interests.list.len().drop_nulls().unique()) == set(range(9))
    pl.testing.assert_series_equal(interests.list.len(), weights.list.len(), check_names=False)
    assert interests.list.n_unique().equals(interests.list.len()), "no tag twice"
    assert weights.explode(empty_as_null=False).drop_nulls().is_between(0.01, 1.0).all()
    users = log.group_by("user_id").agg(pl.col("user_segment", "city", "interests", "user_age_days").n_unique())
    assert users.select(pl.exclude("user_id").max()).row(0) == (1, 1, 1, 1), "an attribute is its user's"
    assert log.group_by("category").agg(pl.col("department").n_unique())["department"].max() == 1


def test_rates_and_ceilings(made: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = made
    assert (summary["rows"], summary["days"]) == (90_000, 3)
    for task, rate in zip(TASKS, RATES, strict=True):
        assert summary["positive_rates"][task] == pytest.approx(rate, rel=0.15)
        assert 0.75 < summary["ceiling_auc"][task] < 0.85
    log = pl.read_parquet(folder / "**/*.parquet", hive_partitioning=False)
    truth = pl.read_parquet(truth_folder(folder) / "**/*.parquet", hive_partitioning=False)
    assert truth.columns == ["click_id", "p_purchase", "p_cart", "p_wish"]
    assert truth.get_column("click_id").equals(log.get_column("click_id"))
    assert log.get_column("wish").is_null().mean() == pytest.approx(0.02, abs=0.003)
    assert log.get_column("purchase").null_count() == log.get_column("cart").null_count() == 0
    for task in TASKS:  # labels are drawn from the truth: in each fifth of it, as many as it says, to 5 standard errors
        both = (
            pl.DataFrame({"y": log.get_column(task).cast(pl.Int64), "p": truth.get_column(f"p_{task}")})
            .drop_nulls()
            .sort("p")
        )
        for fifth in both.iter_slices(both.height // 5 + 1):
            found, expected = fifth.sum().row(0)
            assert abs(found - expected) < 5 * expected**0.5


def test_groups_are_learnable_from_what_the_log_shows(made: tuple[Path, dict[str, Any]]) -> None:
    """A model that only counts purchases a segment does better than chance on the other clicks."""
    log = pl.read_parquet(made[0] / "**/*.parquet", hive_partitioning=False)
    rates = log.head(45_000).group_by("user_segment").agg(rate=pl.col("purchase").mean())
    rest = log.tail(45_000).join(rates, on="user_segment", how="left")
    assert roc_auc(rest.get_column("purchase"), rest.get_column("rate")) > 0.57


def roc_auc(label: pl.Series, score: pl.Series) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(label.to_numpy(), score.fill_null(0).to_numpy()))


@pytest.mark.parametrize("conflict", [0.0, 0.5, 1.0])
def test_conflict_turns_wish_from_purchase(conflict: float) -> None:
    world = World(seed=0, users=5_000, items=1_000)
    p = Truth(world, conflict).probabilities(world.clicks(date(2026, 1, 1), 0, 1, 20_000))
    correlation = np.corrcoef(np.log(p / (1 - p)).T)[0, 2]
    low, high = {0.0: (0.4, 0.9), 0.5: (-0.35, 0.35), 1.0: (-0.9, -0.4)}[conflict]
    assert low < correlation < high


def test_mixing_keeps_the_size_of_every_effect() -> None:
    for conflict in (0.0, 0.3, 1.0):
        np.testing.assert_allclose((mixing(0.7, conflict) ** 2).sum(axis=0), 1.0)  # exact but for rounding
    mixed = mixing(0.7, 1.0)
    assert mixed[:, 0] @ mixed[:, 2] == pytest.approx(-0.7)


def test_another_seed_is_another_world() -> None:
    tables = [
        world.table(world.clicks(OPTIONS.first_day, 0, 1, 100), OPTIONS.first_day, 0)
        for world in (World(seed, OPTIONS.users, OPTIONS.items) for seed in (3, 4, 3))
    ]
    assert tables[0].equals(tables[2])
    assert not tables[0].drop_columns("click_id").equals(tables[1].drop_columns("click_id"))


def test_a_chunk_does_not_depend_on_what_was_made_before(made: tuple[Path, dict[str, Any]]) -> None:
    world = World(OPTIONS.seed, OPTIONS.users, OPTIONS.items)
    truth = Truth(world, OPTIONS.conflict)
    for part in (parts(OPTIONS, SMALL)[-1], parts(OPTIONS, SMALL)[1]):
        clicks, probabilities = clicklog.chunk(OPTIONS, part, world, truth)
        for folder, table in ((made[0], clicks), (truth_folder(made[0]), probabilities)):
            pl.testing.assert_frame_equal(as_read(table), pl.read_parquet(folder / part.path))


def as_read(table: Any) -> pl.DataFrame:
    frame = pl.DataFrame(pl.from_arrow(table))
    return frame.cast({pl.Categorical: pl.String, pl.List(pl.Categorical): pl.List(pl.String)})


def test_conflict_changes_wish_and_no_click(made: tuple[Path, dict[str, Any]]) -> None:
    world = World(OPTIONS.seed, OPTIONS.users, OPTIONS.items)
    agreeing, _ = clicklog.chunk(OPTIONS, parts(OPTIONS, SMALL)[0], world, Truth(world, conflict=0.0))
    logs = [as_read(agreeing), pl.read_parquet(made[0] / parts(OPTIONS, SMALL)[0].path)]
    pl.testing.assert_frame_equal(*(log.drop("cart", "wish") for log in logs))
    assert not logs[0].get_column("wish").equals(logs[1].get_column("wish"))


def test_a_finished_log_is_kept_and_another_is_refused(made: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = made
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*.parquet")}
    assert make(OPTIONS, folder) == summary
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.parquet")} == before
    with pytest.raises(InputError, match=r"holds another log \(seed = 3, not 9, conflict = 1\.0, not 0\.25\)"):
        make(replace(OPTIONS, seed=9, conflict=0.25), folder)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "thesis.tex").write_text("years of work")
    truth_folder(tmp_path / "log").write_text("a file")
    with pytest.raises(InputError, match=r"2 problem(?s:.*)log holds something(?s:.*)log-truth holds something"):
        make(OPTIONS, tmp_path / "log")
    assert [p.name for p in (tmp_path / "log").iterdir()] == ["thesis.tex"]


def test_all_bad_options_are_named_at_once(tmp_path: Path) -> None:
    bad = Options(rows=0, days=0, users=0, items=2**40, seed=-1, conflict=1.5)
    with pytest.raises(InputError, match=r"6 problem") as error:
        make(bad, tmp_path / "log")
    assert all(f"`--{name}`" in str(error.value) for name in ("rows", "days", "users", "items", "seed", "conflict"))
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="before the year 10000"):
        make(replace(OPTIONS, first_day=date(9999, 12, 30)), tmp_path / "log")


@pytest.mark.parametrize("rows", [1, 2, 40])
def test_a_tiny_log_has_fewer_days_and_perhaps_no_ceiling(rows: int, tmp_path: Path) -> None:
    summary = make(Options(rows=rows, days=7, users=1, items=1), tmp_path / "log")
    assert pl.scan_parquet(tmp_path / "log/**/*.parquet").select(pl.len()).collect().item() == rows
    assert rows > 2 or set(summary["ceiling_auc"].values()) == {None}


def test_an_interrupted_log_becomes_the_unbroken_one(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    def stop(rows: int) -> None:
        seen.append(rows)
        if len(seen) == 3:
            raise KeyboardInterrupt

    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        make(OPTIONS, tmp_path / "log", stop)
    assert not (tmp_path / "log" / "manifest.json").exists()
    with pytest.raises(InputError, match="holds another log"):
        make(replace(OPTIONS, seed=1), tmp_path / "log")
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "log").rglob("*.parquet")}
    assert len(kept) == 3
    assert make(OPTIONS, tmp_path / "log") == made[1]
    assert all(p.stat().st_mtime_ns == then for p, then in kept.items())
    assert files(tmp_path / "log") == files(made[0])
    assert files(truth_folder(tmp_path / "log")) == files(truth_folder(made[0]))


def subprocess_of(script: str, folder: Path) -> subprocess.Popen[str]:
    script = f"from pathlib import Path; from pipeline.sources.clicklog import *; {script}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_killed_log_is_finished_and_its_drafts_are_gone(tmp_path: Path) -> None:
    options = Options(rows=72_000, days=4, users=500, items=500)
    killed = subprocess_of("generate(Options(rows=72_000, days=4, users=500, items=500), Path('log'))", tmp_path)
    while not list(tmp_path.glob("log/dt=*/*.parquet")):
        assert killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (tmp_path / "log" / "dt=2026-01-01" / ".part-0001.parquet.1.draft").write_text("half")
    make(options, tmp_path / "log")
    assert not list(tmp_path.rglob("*.draft"))
    log = pl.read_parquet(tmp_path / "log/**/*.parquet", hive_partitioning=False)
    assert (log.height, log.get_column("click_id").n_unique()) == (72_000, 72_000)


def test_memory_does_not_grow_with_rows(tmp_path: Path) -> None:
    """The peak of four days is that of one, but for the sample that the ceiling is computed on."""
    script = (
        "import resource; generate(Options(rows={0}, days={1}, users=500, items=500), Path('log{1}')); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    running = [subprocess_of(script.format(50_000 * days, days), tmp_path) for days in (1, 4)]
    one, four = (int(process.communicate()[0]) / 1024 for process in running)
    assert four - one < 60, f"{one:.0f} MiB for 50,000 rows, {four:.0f} MiB for 200,000"


def test_two_processes_do_not_write_one_log(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".log.lock"), pytest.raises(Timeout):
        make(OPTIONS, tmp_path / "log")
