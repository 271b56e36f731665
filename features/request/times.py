"""Moments of a request's column: times, their ISO texts, or numbers since 1970."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from features.constants import A_SECOND, CENTURIES, Unit
from features.request.column import Column, UnreadError

Microseconds = npt.NDArray[np.int64]
_TEXT = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:[T ](\d{2}):(\d{2})(?::([0-5]\d)(?:\.(\d{1,9}))?)?(Z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?)?",
    re.ASCII,
)
_DIGIT = re.compile(r"\d")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HOUR, _DAY = 3_600_000_000, 86_400_000_000


class Moments(NamedTuple):
    """The moments of a column.

    Args:
        moment_N: Microseconds since 1970 (UTC); 0 where unknown.
        known_N: Whether they are known.
    """

    moment_N: Microseconds
    known_N: npt.NDArray[np.bool_]

    def part(self, part: str) -> Microseconds:
        """The part of each moment: ``"hour"``, ``"weekday"`` or ``"month"``, counted from 0."""
        if part == "hour":
            return self.moment_N // _HOUR % 24
        if part == "weekday":
            return (self.moment_N // _DAY + 3) % 7  # 1970 began on a Thursday
        months_N: Microseconds = self.moment_N.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
        return months_N % 12


@dataclass(frozen=True)
class Clock:
    """Reads moments.

    Args:
        unit: Unit of numbers since 1970; None if numbers are no moments.
        any_zone: Whether texts may have any zone that :func:`features.transforms.timestamp` knows.
    """

    unit: Unit | None
    any_zone: bool

    def read(self, column: Column) -> Moments:
        """The moments of a column.

        Raises:
            UnreadError: If its values are no moments, or texts in another form than the usual ones.
        """
        if column.kind in ("null", "time"):
            return _moments(column.values)
        if column.kind == "text":
            return _moments([None if text is None else self._moment(text) for text in column.values])
        if column.kind in ("integer", "float") and self.unit is not None:
            return _since_1970(column, A_SECOND[self.unit])
        raise UnreadError

    def _moment(self, text: str) -> int | None:
        found = _TEXT.fullmatch(text)
        if found is None:
            if _DIGIT.search(text):
                raise UnreadError
            return None
        *numbers, fraction, zone = found.groups()
        if zone and not self.any_zone:
            raise UnreadError
        return _microseconds([int(number or 0) for number in numbers], fraction, zone)


def _since_1970(column: Column, second: int) -> Moments:
    """The moments of numbers of which a second has so many."""
    first, end = (century * second for century in CENTURIES)
    if column.kind == "integer":
        numbers = [n if n is not None and first <= n < end else None for n in column.values]
        if second > 1_000_000:
            return _moments([None if n is None else n // 1000 for n in numbers])
        return _moments([None if n is None else n * (1_000_000 // second) for n in numbers])
    number_N = column.numbers()
    known_N = (number_N >= first) & (number_N < end)
    number_N = np.where(known_N, number_N, 0.0)
    moment_N = np.floor(number_N / 1000) if second > 1_000_000 else np.rint(number_N * (1_000_000 // second))
    return Moments(moment_N.astype(np.int64), known_N)


def _microseconds(numbers: Sequence[int], fraction: str | None, zone: str | None) -> int | None:
    if not numbers[0]:
        raise UnreadError  # Polars knows a year 0, Python does not
    try:
        moment = datetime(*numbers, tzinfo=UTC)  # type: ignore[misc, arg-type]  # from the year on
    except ValueError:
        return None
    since = (moment - _EPOCH) // _MICROSECOND
    if fraction:
        since += int(fraction[:6].ljust(6, "0"))
    return since - (_offset(zone) if zone else 0)


def _offset(zone: str) -> int:
    """Microseconds that a zone is ahead of UTC."""
    if zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[-2:] if len(zone) > 3 else 0)
    return (-minutes if zone[0] == "-" else minutes) * 60_000_000


def _moments(values: Sequence[int | None]) -> Moments:
    known = np.array([value is not None for value in values], np.bool_)
    return Moments(np.array([value or 0 for value in values], np.int64), known)
