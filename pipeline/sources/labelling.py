"""Labels the clicks of a folder of events, day by day, in the memory of a day and the window after it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
from filelock import FileLock

from features.errors import InputError
from features.transforms import is_unlikely_time
from pipeline.files import parquet
from pipeline.files.atomic import atomic, remove_drafts
from pipeline.files.content import copies_problem, digest, find_copies
from pipeline.files.losses import find_losses, loss_problems
from pipeline.files.partitions import Partitions, partition_problems, with_partitions
from pipeline.files.schemas import Widened, common_schema
from pipeline.files.table import Table, find_table
from pipeline.runtime.progress import Progress, Silent
from pipeline.sources.attribution import CREDITED_TASKS, Events, datetime_of, label_day, parse_window, units

_MANIFEST = "manifest.json"
# Raise this number when equal inputs give another result.
_FORMAT = 1


@dataclass(frozen=True)
class _Survey:
    """The findings of one pass over the events.

    Args:
        values: Event value to its rows.
        timeless: Number of rows without a time.
        unlikely: Number of rows whose time, a number, is unlikely in its unit.
        end: The last instant.
        days: The days of clicks, counted from 1970-01-01.
    """

    values: dict[str | None, int]
    timeless: int
    unlikely: int
    end: int | None
    days: list[int]

    def problems(self, events: Events) -> Iterator[str]:
        if unknown := {value: count for value, count in self.values.items() if value not in events.roles}:
            listed = ", ".join(f"{value!r} ({count} row(s))" for value, count in sorted(unknown.items(), key=str))
            yield f"column `{events.event}` holds values without a role: {listed}; give them one, or `--ignore` them"
        if self.timeless:
            yield f"column `{events.time}` has no time in {self.timeless} row(s); an event needs its time"
        if 2 * self.unlikely > sum(self.values.values()):
            rule = f"most of its numbers are no times of these centuries in `--unit {events.unit}`; give their unit"
            yield f"column `{events.time}`: {rule}"
        if not any(events.roles.get(value or "") == "click" for value in self.values):
            yield f"there is no click (`--click {','.join(events.click)}`) among {sum(self.values.values())} event(s)"


def label_events(
    pattern: str,
    out: Path,
    events: Events,
    window: str,
    declared: Partitions = MappingProxyType({}),
    progress: Progress = Silent(),
) -> dict[str, Any]:
    """Label the clicks of an event log, or find them already labelled.

    Args:
        pattern: Parquet file, folder or glob.
        out: Folder for ``dt=2026-01-01/part-0000.parquet``, one a day of clicks, and ``manifest.json``.
        events: The columns and the roles of events.
        window: Longest time from a click to an event that is credited to it, such as ``24h``.
        declared: Partitions of the events' paths that are columns.
        progress: Shows the files and days.

    Returns:
        ``clicks``, ``days``, and ``tasks``: for each task the number of ``known`` labels and of ``positives``; and of
        the events the files ``left_out`` and the ``widened`` columns.

    Raises:
        InputError: If options, files, columns or values are wrong (all problems are named), or a file is damaged. No
            partial result is left.
        filelock.Timeout: If another process writes to the same folder.
    """
    log, length = _Log.of(pattern, events, declared), None
    problems = [*events.problems(log.schema or None), *log.problems]
    try:
        length = parse_window(window)
    except ValueError as error:
        problems.append(f"`--window`: {error}")
    survey = None if log.problems else _survey(log, events)
    problems += survey.problems(events) if survey else []
    inputs = {"format": _format(events, log.schema), "window": window, "events": _written(events)}
    inputs |= {"partitions": dict(declared)} if declared else {}
    files = log.table.files
    inputs["sources"] = {str(path): digest(path) for path in progress.each("files of events", files, len(files))}
    problems += _in_the_way(out, inputs)
    if problems or survey is None or length is None:
        raise InputError.of("these events cannot be labelled", problems)
    out.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(out.with_name(f".{out.name}.lock"), timeout=0):
        if not (out / _MANIFEST).exists():
            _write(log, out, events, length, survey, inputs, progress)
    manifest = json.loads((out / _MANIFEST).read_text())
    notes = {"left_out": list(map(str, log.table.left_out)), "widened": list(map(str, log.widened))}
    return {name: manifest[name] for name in ("clicks", "days", "tasks")} | notes


@dataclass(frozen=True)
class _Log:
    """The files of events, read as one table with every column of any of them.

    Args:
        table: The files.
        own: Schema of each readable file.
        schema: The columns and types that all are read as; empty without a readable file.
        widened: The columns that files have in several types.
        problems: The problems of the files.
    """

    table: Table
    own: Mapping[Path, pl.Schema]
    schema: pl.Schema
    widened: tuple[Widened, ...]
    problems: tuple[str, ...]

    @classmethod
    def of(cls, pattern: str, events: Events, declared: Partitions) -> _Log:
        """The files that a path or pattern means; ids, times and kinds of events have to be in each of them."""
        try:
            table = find_table(pattern)
        except InputError as error:
            return cls(Table(()), {}, pl.Schema(), (), (str(error),))
        own, unreadable = parquet.read_schemas(table.files)
        wrong, files = partition_problems(declared, own)
        whole = {path: with_partitions(schema, declared) for path, schema in own.items() if path not in files}
        common = common_schema(whole, (events.user, events.item, events.time, events.event))
        problems = [*unreadable.values(), *wrong, *common.problems, *map(copies_problem, find_copies(own, declared))]
        if not problems:
            read_as = {path: common.read_as(path, schema) for path, schema in whole.items()}
            problems += loss_problems(find_losses(own, read_as))
        return cls(table, own, common.schema, common.widened, tuple(problems))

    def scan(self) -> pl.LazyFrame:
        """All events."""
        if all(schema == self.schema for schema in self.own.values()):
            return parquet.scan_all([*self.own])
        return pl.concat([parquet.scan_as(path, self.schema) for path in self.own])

    def error(self, error: BaseException) -> InputError:
        """The error of a query: of a damaged file, if there is one."""
        for path in self.own:
            try:
                parquet.refuse_damage(path)
            except parquet.DamagedError as damage:
                return InputError(f"a file of the events is damaged: {damage}")
        return InputError(f"the events can be read, but their rows do not allow what is asked: {error}")


def _written(events: Events) -> dict[str, Any]:
    """The events' declaration as JSON; without a unit as it was before there were units."""
    written: dict[str, Any] = json.loads(json.dumps(asdict(events)))
    return {key: value for key, value in written.items() if key != "unit" or value is not None}


def _format(events: Events, schema: pl.Schema) -> int:
    """The format of the result. Ids that are floats had other labels before: NaN was a user of its own."""
    has_floats = any(schema.get(c, pl.Null()).is_float() for c in (events.user, events.item))
    return _FORMAT + has_floats


def _survey(log: _Log, events: Events) -> _Survey | None:
    """The findings of one pass over two columns; None if a column is missing."""
    kind = log.schema.get(events.time)
    if events.event not in log.schema or kind is None or not events.has_times(kind):
        return None
    value, moment = events.value(log.schema[events.event]), events.moment(kind)
    time = moment.to_physical()
    unlikely = (
        is_unlikely_time(pl.col(events.time), events.unit) if events.unit and kind.is_numeric() else pl.lit(value=False)
    )
    day = time // units(timedelta(days=1), datetime_of(kind))
    clicks = log.scan().filter(value.is_in(events.click))
    queries = [
        log.scan().group_by(value.alias("value")).len(),
        log.scan().select(timeless=time.null_count(), unlikely=unlikely.sum(), end=time.max()),
        clicks.select(day=day.drop_nulls()).unique(),
    ]
    try:
        values, ends, days = pl.collect_all(queries)
    except parquet.READ_ERRORS as error:
        raise log.error(error) from error
    timeless, unlikely_rows, end = ends.row(0)
    return _Survey(dict(values.iter_rows()), timeless, unlikely_rows or 0, end, sorted(days.get_column("day")))


def _in_the_way(out: Path, inputs: dict[str, Any]) -> Iterator[str]:
    """The problem of other content in the folder, if there is any."""
    try:
        held = json.loads((out / _MANIFEST).read_text())
        different = [name for name in inputs if held.get(name) != inputs[name]]
        if different:
            yield f"{out} holds clicks of other {', '.join(different)}; remove it or choose another `--out`"
    except (OSError, ValueError, AttributeError):
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            yield f"{out} holds something other than labelled clicks; choose another `--out`"


def _write(
    log: _Log,
    out: Path,
    events: Events,
    window: timedelta,
    survey: _Survey,
    inputs: dict[str, Any],
    progress: Progress,
) -> None:
    remove_drafts(out.parent, f".{out.name}.*.draft")
    kind = datetime_of(log.schema[events.time])
    assert survey.end is not None
    with atomic(out) as draft:
        for day in progress.each("days of clicks", survey.days, len(survey.days)):
            target = draft / f"dt={date(1970, 1, 1) + timedelta(day)}" / "part-0000.parquet"
            clicks = label_day(log.scan(), events, window, kind, survey.end, day)
            try:
                clicks.sink_parquet(target, mkdir=True, row_group_size=65_536)
            except parquet.READ_ERRORS as error:
                raise log.error(error) from error
        manifest = inputs | _counts(draft) | {"versions": {p: version(p) for p in ("polars", "gradops")}}
        (draft / _MANIFEST).write_text(json.dumps(manifest, indent=1))


def _counts(folder: Path) -> dict[str, Any]:
    log = parquet.scan_all(sorted(folder.rglob("*.parquet")))
    counts = [pl.len().alias("clicks")]
    counts += [pl.col(task).count().alias(f"known {task}") for task in CREDITED_TASKS]
    counts += [pl.col(task).cast(pl.Int64).sum().alias(f"positives {task}") for task in CREDITED_TASKS]
    found = log.select(counts).collect().row(0, named=True)
    tasks = {task: {name: found[f"{name} {task}"] for name in ("known", "positives")} for task in CREDITED_TASKS}
    return {"clicks": found["clicks"], "days": len(list(folder.glob("dt=*"))), "tasks": tasks}
