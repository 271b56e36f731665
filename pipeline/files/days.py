"""The days of a log: which one a path names, and days without rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

from pipeline.files.partitions import parts_of

_SHOWN = 7
_KEYS, _TRIPLE = ("dt", "date", "ds", "day"), ("year", "month", "day")


@dataclass(frozen=True)
class DayKeys:
    """The keys of ``key=value`` folders that name a file's day.

    Args:
        keys: One key whose value is a day, as ``2026-01-31`` or ``20260131``; or three, for year, month and day; or
            none. By default ``dt``, ``date``, ``ds`` and ``day``, and ``year``, ``month`` and ``day`` together.
    """

    keys: tuple[str, ...] | None = None

    def of(self, path: Path) -> date | None:
        """The day of a file; None if its path names none, or none that can be read."""
        return next(iter(self._named(path).values()), None)

    def problems(self, paths: Sequence[Path]) -> Iterator[str]:
        """The folders that look like a day and cannot be read as one, and paths that name several days."""
        told: dict[str, tuple[Path, int]] = {}
        for path in paths:
            for problem in self._problems(path):
                first, files = told.get(problem, (path, 0))
                told[problem] = (first, files + 1)
        for problem, (first, files) in told.items():
            yield f"{problem} (in the path of {files} file(s), first {first})"

    def _problems(self, path: Path) -> Iterator[str]:
        named = self._named(path)
        fix = "name folders as `dt=2026-01-31`, or say in `data.day` which key names the day (`[]` for none)"
        yield from (f"`{text}` looks like a day and is none; {fix}" for text, day in named.items() if day is None)
        if len({*named.values()} - {None}) > 1:
            yield f"{' and '.join(f'`{text}`' for text in named)} are different days; {fix}"

    def _named(self, path: Path) -> dict[str, date | None]:
        """The folders that name a day, each with the day; None where it cannot be read."""
        parts = {key: value for key, value in parts_of(path).items() if value is not None}
        if self.keys is None:
            found = _triple(parts, _TRIPLE)
            single = [key for key in _KEYS if key in parts and not (found and key in _TRIPLE)]
        else:
            found = _triple(parts, self.keys)
            single = [key for key in self.keys if key in parts and len(self.keys) == 1]
        return found | {f"{key}={parts[key]}": _day(parts[key]) for key in single}


def day_problems(
    role: str,
    days: Mapping[Path, date | None],
    empty: Sequence[Path],
    absent: Collection[date] = (),
) -> Iterator[str]:
    """The empty files of a role, and its missing days.

    Args:
        role: The files' name in the config, such as ``data.train``.
        days: All files with their days: a day whose file is damaged is not missing.
        empty: The files without a row.
        absent: Days that are missing on purpose.
    """
    fix = "or set `[contract] empty_days = true` if days without rows are as they should be"
    yield from (f"{path} has no rows; remove or replace it, {fix}" for path in empty)
    there = {day for day in days.values() if day}
    if missing := [day for day in _missing(there) if day not in absent]:
        shown = ", ".join(map(str, missing[:_SHOWN])) + (", ..." if missing[_SHOWN:] else "")
        found = f"{len(missing)} day(s) between {min(there)} and {max(there)}: {shown}"
        yield f"{role} has no file of {found}; add them, {fix}"


def _triple(parts: Mapping[str, str], keys: Sequence[str]) -> dict[str, date | None]:
    """The day that year, month and day name together; empty unless a path has all three."""
    if len(keys) != len(_TRIPLE) or any(key not in parts for key in keys):
        return {}
    numbers = [parts[key] for key in keys]
    if not all(number.isdigit() for number in numbers) or len(numbers[-1]) > len("31"):
        return {}  # as in year=2026/month=2026-01/day=2026-01-31, whose last folder says it all
    text = "/".join(f"{key}={parts[key]}" for key in keys)
    try:
        return {text: date(*map(int, numbers))}
    except ValueError:
        return {text: None}


def _day(text: str) -> date | None:
    """The day of a text; Spark writes one from timestamps with its midnight."""
    try:
        # Python also reads weeks such as 2026-W05, as their Monday.
        moment = None if "W" in text else datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None:
        return None
    return moment.date() if moment.time() == time() else None


def _missing(days: set[date]) -> list[date]:
    if not days:
        return []
    first, length = min(days), (max(days) - min(days)).days
    return [day for n in range(length) if (day := first + timedelta(n)) not in days]
