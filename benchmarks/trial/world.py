"""A generated log of eight tasks of very different rarity, with the true probabilities of its labels.

A row has twelve categoricals, one of them an item with a long tail, and four numbers. A task's log-odds are a sum of
terms of the columns and of three pairs of them. In every term the tasks' effects are mixed from independent normals by
:func:`mixing`, so that the true cosine of two tasks' effects is known. Labels are independent given the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.sources.clicktruth import shift, sigmoid

Array = npt.NDArray[np.float64]

TASKS = tuple(f"task_{number}" for number in range(1, 9))
RATES = tuple(np.geomspace(0.3, 0.0005, len(TASKS)).tolist())
LEVELS = (4000, 300, 150, 80, 60, 40, 30, 24, 16, 12, 8, 5)
PAIRS = ((4, 9), (6, 10), (7, 11))
NUMBERS = 4
SHARED = 0.7  # share of an effect's variance that the tasks have in common, up to the angle between them
SPREAD = 1.3  # standard deviation of the log-odds
DAYS = {"train": date(2026, 1, 1), "val": date(2026, 1, 2), "test": date(2026, 1, 3)}
ROWS = {"train": 250_000, "val": 100_000, "test": 100_000}
_TAIL = 0.9  # of the levels' popularity, rank ** -0.9
_SAMPLE = 100_000
# Everything that equal logs have in common; the first number is to be raised where the same constants give other logs.
RECIPE = (1, RATES, LEVELS, PAIRS, NUMBERS, SHARED, SPREAD, _TAIL, _SAMPLE)
# Task to the place of its angle where angles are mixed: uncorrelated with the tasks' places, and so with their rarity.
MIXED = (3, 5, 0, 7, 2, 6, 1, 4)


def mixing(conflict: float, *, is_mixed: bool = False) -> Array:
    """The matrix from 2 + 8 independent standard normals to effects on the tasks, each of variance 1.

    The shared part of task i is turned away from that of the first by ``conflict * (i - 1) / 7 * 180`` degrees;
    mixed, the tasks have these angles in the order of :data:`MIXED`.
    """
    angle_T = np.pi * conflict * np.linspace(0, 1, len(TASKS))
    angle_T = angle_T[list(MIXED)] if is_mixed else angle_T
    shared_2T = np.sqrt(SHARED) * np.stack([np.cos(angle_T), np.sin(angle_T)])
    return np.vstack([shared_2T, np.sqrt(1 - SHARED) * np.eye(len(TASKS))])


@dataclass(frozen=True)
class Log:
    """Rows with their labels, and the true probabilities of these.

    Args:
        frame: ``day``, columns and labels, in the order of the splits.
        chance_NT: The true probabilities, row by row.
    """

    frame: pl.DataFrame
    chance_NT: Array


class World:
    """The effects of the columns on the tasks; they depend on the conflict and the order of the angles.

    Args:
        conflict: From 0, where the tasks' common effects agree, to 1, where those of the first and the last are
            opposites; see :func:`mixing`.
        is_mixed: Whether the tasks' angles are mixed.
    """

    def __init__(self, conflict: float, *, is_mixed: bool = False) -> None:
        generator = np.random.default_rng(0)
        mix = mixing(conflict, is_mixed=is_mixed)

        def drawn(count: int) -> Array:
            table: Array = generator.standard_normal((count, len(mix))) @ mix
            return table

        self._levels = [drawn(count) for count in LEVELS]
        self._pairs = [drawn(LEVELS[one] * LEVELS[other]) for one, other in PAIRS]
        self._numbers = [drawn(2) for _ in range(NUMBERS)]
        score_NT = self._score(*_columns(_SAMPLE, np.random.default_rng(1)))
        self._scale_T = SPREAD / score_NT.std(axis=0)
        self._shift_T = [shift(score_NT[:, t] * self._scale_T[t], rate) for t, rate in enumerate(RATES)]

    def log(self, draw: int, rows: dict[str, int]) -> Log:
        """A log of this world: logs of two draws have other rows and labels, and the same effects.

        Args:
            draw: Its seed.
            rows: Number of rows of each split.
        """
        generator, total = np.random.default_rng((2, draw)), sum(rows.values())
        code_NF, number_NV = _columns(total, generator)
        chance_NT = sigmoid(self._score(code_NF, number_NV) * self._scale_T + self._shift_T)
        label_NT = (generator.random(chance_NT.shape) < chance_NT).astype(np.int8)
        columns = {"day": pl.Series([DAYS[split] for split, count in rows.items() for _ in range(count)])}
        columns |= {f"c{f}": pl.Series(code_N.astype(np.int32)) for f, code_N in enumerate(code_NF.T)}
        columns |= {f"n{v}": pl.Series(number_N) for v, number_N in enumerate(number_NV.T)}
        columns |= {task: pl.Series(label_N) for task, label_N in zip(TASKS, label_NT.T, strict=True)}
        return Log(pl.DataFrame(columns), chance_NT)

    def _score(self, code_NF: npt.NDArray[np.int64], number_NV: Array) -> Array:
        total_NT = np.zeros((len(code_NF), len(TASKS)))
        for f, table in enumerate(self._levels):
            total_NT += table[code_NF[:, f]]
        for (one, other), table in zip(PAIRS, self._pairs, strict=True):
            total_NT += table[code_NF[:, one] * LEVELS[other] + code_NF[:, other]]
        for v, (slope_T, bend_T) in enumerate(self._numbers):
            number_N1 = number_NV[:, v, None]
            total_NT += number_N1 * slope_T + (number_N1**2 - 1) * bend_T / 2
        return total_NT


def _columns(rows: int, generator: np.random.Generator) -> tuple[npt.NDArray[np.int64], Array]:
    """The codes of the categoricals, and the numbers."""
    codes = []
    for count in LEVELS:
        weight = np.arange(1.0, count + 1) ** -_TAIL
        codes.append(np.searchsorted(weight.cumsum() / weight.sum(), generator.random(rows)).clip(max=count - 1))
    return np.stack(codes, axis=1), generator.standard_normal((rows, NUMBERS)).clip(-3, 3)
