"""Days without rows in a log: empty files, and gaps between the ``dt=2026-01-31`` parts of its paths."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

_PART, _SHOWN = "dt=", 7


def partition_problems(
    role: str, paths: Sequence[Path], empty: Sequence[Path], absent: Collection[date] = ()
) -> Iterator[str]:
    """The empty files of a role, and its missing days.

    Args:
        role: The files' name in the config, such as ``data.train``.
        paths: All files: a day whose file is damaged is not missing.
        empty: The files without a row.
        absent: Days that are missing on purpose.
    """
    fix = "or set `[contract] empty_days = true` if days without rows are as they should be"
    yield from (f"{path} has no rows; remove or replace it, {fix}" for path in empty)
    days = {day for path in paths if (day := day_of(path))}
    if missing := [day for day in _missing(days) if day not in absent]:
        shown = ", ".join(map(str, missing[:_SHOWN])) + (", ..." if missing[_SHOWN:] else "")
        found = f"{len(missing)} day(s) between {min(days)} and {max(days)}: {shown}"
        yield f"{role} has no file of {found}; add them, {fix}"


def day_of(path: Path) -> date | None:
    """The day that a path names; None if it names none, as with ``dt=latest``."""
    for part in path.parts:
        try:
            if part.startswith(_PART):
                return date.fromisoformat(part.removeprefix(_PART))
        except ValueError:
            continue
    return None


def _missing(days: set[date]) -> list[date]:
    if not days:
        return []
    first, length = min(days), (max(days) - min(days)).days
    return [day for n in range(length) if (day := first + timedelta(n)) not in days]
