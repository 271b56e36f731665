"""The newest day is blamed for a finding exactly if a second look, without its files, would not find it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from pipeline.config.run import RunConfig
from pipeline.files.table import Table
from pipeline.validation.raw_data import examine_raw_data, find_raw_files
from tests.pipeline.validation.conftest import clicks, damage, overridden, write

NEWEST = date(2026, 1, 4)


def of(day: int, *frames: pl.DataFrame) -> list[Path]:
    """Further files of a day."""
    return [write(frame, day, f"more-{place}") for place, frame in enumerate(frames)]


def cut(day: int) -> int:
    path = write(clicks(day), day)
    return path.write_bytes(path.read_bytes()[:1000])


def folder(day: int) -> None:
    (Path("log") / f"dt=2026-01-0{day}" / "old.parquet").mkdir()


def text(day: int) -> pl.DataFrame:
    """A day whose price is text."""
    return clicks(day).with_columns(pl.col("price").cast(pl.String))


def whole(day: int) -> pl.DataFrame:
    """A day whose users are text, which a categorical may be, too."""
    return clicks(day).with_columns(pl.col("user").cast(pl.String))


def large(day: int, kind: type[pl.DataType]) -> pl.DataFrame:
    """A day with items so large that no float holds them beside the integers of the other days."""
    others = (clicks(d).with_columns(item=pl.lit(2**60 + d)) for d in (1, 2, 3, 4) if d != day)
    for d, frame in zip((d for d in (1, 2, 3, 4) if d != day), others, strict=True):
        write(frame, d)
    return clicks(day).with_columns(item=pl.lit(7).cast(kind))


def price_of_others(kind: Callable[[int], pl.DataFrame]) -> None:
    for day in (1, 2, 3):
        write(kind(day), day)


def missing(*days: int) -> list[Path]:
    """Take the files of some days away."""
    return [(Path("log") / f"dt=2026-01-0{day}" / "part.parquet").rename(f"day-{day}") for day in days]


# Name, what is done to four sound days, and whether the fourth is at fault.
CASES: list[tuple[str, Callable[[], object], bool]] = [
    ("nothing", lambda: None, False),
    ("unreadable, the newest", lambda: cut(4), True),
    ("unreadable, another", lambda: cut(2), False),
    ("unreadable, both", lambda: (cut(2), cut(4)), False),
    ("a folder for a file, another", lambda: folder(3), False),
    ("damaged where a rule reads, the newest", lambda: damage(write(clicks(4), 4), "bought"), True),
    ("damaged where a rule reads, another", lambda: damage(write(clicks(1), 1), "bought"), False),
    ("damaged where rows are told apart, the newest", lambda: damage(write(clicks(4), 4), "click"), True),
    ("damaged where rows are told apart, another", lambda: damage(write(clicks(1), 1), "click"), False),
    ("damaged where nothing reads", lambda: damage(write(clicks(4), 4), "user"), False),
    ("a value, the newest", lambda: write(clicks(4, bought=[2]), 4), True),
    ("a value, another", lambda: write(clicks(2, bought=[2]), 2), False),
    ("a value, both", lambda: (write(clicks(2, bought=[2]), 2), write(clicks(4, bought=[7]), 4)), False),
    ("a null, the newest", lambda: write(clicks(4, item=[None]), 4), True),
    ("different rules, one each", lambda: (write(clicks(2, item=[None]), 2), write(clicks(4, bought=[7]), 4)), False),
    ("a missing column, the newest", lambda: write(clicks(4).drop("item"), 4), True),
    ("a missing column, another", lambda: write(clicks(1).drop("item"), 1), False),
    ("a missing column, all", lambda: [write(clicks(day).drop("item"), day) for day in (1, 2, 3, 4)], False),
    ("one column more, the newest", lambda: write(clicks(4).with_columns(extra=1), 4), False),
    ("one column more, another", lambda: write(clicks(2).with_columns(extra=1), 2), False),
    ("one column more, all but the newest", lambda: price_of_others(lambda d: clicks(d).with_columns(extra=1)), False),
    ("a wider type, the newest", lambda: write(clicks(4).with_columns(pl.col("price").cast(pl.Float32)), 4), False),
    ("a type that loses values, the newest", lambda: write(large(4, pl.Float64), 4), True),
    ("a type that loses values, another", lambda: write(large(2, pl.Float64), 2), False),
    ("a wrong type, the newest", lambda: write(text(4), 4), True),
    ("a wrong type, all but the newest", lambda: price_of_others(text), False),
    ("another sound type, the newest", lambda: write(whole(4), 4), True),
    ("another sound type, all but the newest", lambda: price_of_others(whole), True),
    ("another sound type, most files and all of the newest", lambda: (write(whole(4), 4), of(4, *more(4))), True),
    ("another sound type, one of the others", lambda: write(whole(2), 2), False),
    ("a key of another type than any file's", lambda: write(clicks(4).with_columns(user=pl.lit([1])), 4), True),
    ("nothing tells rows apart in the newest", lambda: write(clicks(4).drop("click"), 4), True),
    ("rows twice, within the newest", lambda: write(clicks(4, click=[1, 1]), 4), True),
    ("rows twice, within another", lambda: write(clicks(3, click=[1, 1]), 3), False),
    ("rows twice, the newest and another", lambda: write(clicks(4, click=[2001, 2002]), 4), True),
    ("rows twice, two others", lambda: write(clicks(3, click=[2001, 2002]), 3), False),
    ("rows twice, the newest, and two others", lambda: [write(clicks(d, click=[2001]), d) for d in (3, 4)], False),
    ("rows twice, the newest is another day", lambda: write(clicks(3), 4), True),
    ("no rows, the newest", lambda: write(clicks(4).clear(), 4), True),
    ("no rows, another", lambda: write(clicks(2).clear(), 2), False),
    ("a missing day before the newest", lambda: missing(3), True),
    ("a missing day among the others", lambda: missing(2), False),
    ("missing days of both kinds", lambda: (write(clicks(6), 6), missing(2, 4)), False),
]


def more(day: int) -> list[pl.DataFrame]:
    """Enough further files of a day to be the most, of a sound type that the others do not have."""
    return [whole(day).with_columns(pl.col("click") + 200 * place) for place in (1, 2, 3, 4)]


@pytest.mark.parametrize(("change", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_newest_day_is_at_fault_if_only_all_days_together_break_the_contract(
    config: RunConfig, change: Callable[[], object], expected: bool
) -> None:
    change()
    files = tuple(sorted(Path("log").rglob("*.parquet")))
    sources = {"train": Table(files)}
    findings = examine_raw_data(config, sources, newest=NEWEST)
    assert findings.problems == examine_raw_data(config, sources).problems
    others = config.changed({"data.without": (NEWEST,)})
    left = {"train": Table(tuple(path for path in files if f"dt={NEWEST}" not in path.parts))}
    assert findings.without_newest == examine_raw_data(others, left).problems
    assert findings.is_newest_at_fault == expected
    assert bool(findings.problems) == (expected or findings.without_newest != ())


def test_without_a_newest_day_nobody_is_at_fault(config: RunConfig) -> None:
    write(clicks(4, bought=[2]), 4)
    findings = examine_raw_data(config, find_raw_files(config))
    assert findings.problems == findings.without_newest
    assert not findings.is_newest_at_fault


def test_days_that_may_be_empty_are_nobodys_fault(config: RunConfig) -> None:
    missing(3)
    assert (
        examine_raw_data(overridden("contract.empty_days=true"), find_raw_files(config), newest=NEWEST).problems == ()
    )
