"""The form of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.constants import FARTHEST, FIRST_KNOWN, NULL
from features.request.column import Column, Numbers
from features.request.form import Form, Part
from features.request.times import Clock


@dataclass(frozen=True)
class Hours:
    """The hours from one moment to another.

    Args:
        clock: Reads the moments.
    """

    clock: Clock

    def __call__(self, columns: Sequence[Column]) -> Numbers:
        """The hours, NaN where a moment is unknown."""
        first, last = (self.clock.read(column) for column in columns)
        hours_N = (last.moment_N.astype(np.float64) - first.moment_N.astype(np.float64)) / 1e6 / 3600
        return np.where(first.known_N & last.known_N, hours_N, np.nan)


def number(columns: Sequence[Column]) -> Numbers:
    """The number of each row, NaN where unknown."""
    return columns[0].numbers()


@dataclass(frozen=True, eq=False)
class Measured(Form):
    """A number: its bucket, its value, or both.

    Args:
        measure: Reads the number, NaN where unknown.
        clip: The ends that a number outside becomes.
        edges: The edges of the buckets; None without buckets.
        has_value: Whether it has a value.
        log1p: Whether the value is the signed logarithm of the number.
        raw: Whether it is left as it is,
        robust: or scaled by median and spread, and clipped smoothly.
        mean: The mean, or the median.
        deviation: The standard deviation, or the spread.
    """

    measure: Callable[[Sequence[Column]], Numbers]
    clip: tuple[float, float] | None
    edges: npt.NDArray[np.float64] | None
    has_value: bool
    log1p: bool
    raw: bool
    robust: bool
    mean: float
    deviation: float

    def part(self, columns: Sequence[Column]) -> Part:
        """See :meth:`features.request.form.Form.part`."""
        number_N = self.measure(columns)
        unknown_N = np.isnan(number_N)
        if self.clip is not None:
            low, high = self.clip
            number_N = np.where(number_N < low, low, np.where(number_N > high, high, number_N))
        ids_N = value_N = None
        if self.edges is not None:
            bucket_N = self.edges.searchsorted(number_N, side="right") + FIRST_KNOWN
            ids_N = np.where(unknown_N, NULL, bucket_N).astype(np.int32)
        if self.has_value:
            value_N = np.where(unknown_N, 0.0, self._value(number_N)).astype(np.float32)
        return Part(ids_N, value_N=value_N)

    def _value(self, number_N: Numbers) -> Numbers:
        if self.log1p:
            # The C library's, as in Polars: numpy's own differs in the last bit.
            number_N = np.array([math.copysign(math.log1p(abs(one)), one) for one in number_N.tolist()])
        if self.raw:
            return number_N
        spread_N = (number_N - self.mean) / self.deviation
        spread_N = np.minimum(np.maximum(spread_N, -FARTHEST), FARTHEST)
        return spread_N / np.sqrt(1 + (spread_N / 3) ** 2) if self.robust else spread_N
