"""A sample of scored rows against the training rows, feature by feature, and its scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from features.encoder import ID, VALUE, WEIGHT
from features.errors import InputError
from features.spec import FeatureSpec
from pipeline.data.distributions import (
    Distribution,
    Entries,
    IdDistribution,
    NumberDistribution,
    Whole,
    special_shares,
    stability_index,
)
from pipeline.files import parquet
from pipeline.serving.sample.files import Sample
from pipeline.serving.sample.rows import SCORE
from pipeline.skew.chance import index_by_chance, shift_by_chance
from pipeline.skew.columns import Columns, encoded_columns
from pipeline.skew.reference import Reference

# By common rule an index below it is no drift: a sample that reaches it by chance tells nothing.
_TELLING = 0.1


@dataclass(frozen=True)
class Skew:
    """A feature's, a feature's weights' or a score's difference between the sample and the training rows.

    Args:
        name: What it is of.
        psi: Population stability index, as of :class:`pipeline.data.drift.Drift`, of its ids, or else of its numbers.
        chance: The index that one sample of a hundred of this size exceeds if nothing has changed; infinite where the
            sample is of too few requests to tell.
        usual: The index of the validation rows, which no fault has changed; 0 for scores.
        null: Shares of null entries in the sample and in training; None without ids.
        unseen: Shares of entries out of vocabulary; None without ids.
        shift: Difference of the means, in standard deviations of the training rows; None without numbers. For a number
            that is constant in training, in units of its size.
        shift_chance: The size of the shift that one sample of a hundred exceeds if nothing has changed.
        is_judged: Whether it should resemble the training rows at any time; a time of the day need not.
    """

    name: str
    psi: float
    chance: float
    usual: float
    null: tuple[float, float] | None
    unseen: tuple[float, float] | None
    shift: float | None
    shift_chance: float | None
    is_judged: bool

    @property
    def beyond(self) -> float:
        """The part of the index that neither chance nor the difference of validation rows explains."""
        return self.psi - max(self.chance, self.usual)

    @property
    def size(self) -> tuple[float, float]:
        """What skews are sorted by: the larger of the unexplained index and shift, then the index."""
        shift = -math.inf if self.shift is None or self.shift_chance is None else abs(self.shift) - self.shift_chance
        return max(self.beyond, shift), self.psi

    @property
    def is_telling(self) -> bool:
        """Whether the sample is large enough to tell an index of 0.1 from chance."""
        return self.chance < _TELLING

    def plain(self) -> dict[str, Any]:
        """All figures for JSON, which has no infinity: null stands for it."""
        found = asdict(self) | {"beyond": self.beyond}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in found.items()}


@dataclass(frozen=True)
class ScoreSkew:
    """The scores of an output.

    Args:
        skew: Their difference from the scores of validation rows.
        mean: Their mean in the sample,
        validation: and on validation rows.
        prevalence: The share of positives in training; None for an output that is no task.
    """

    skew: Skew
    mean: float
    validation: float
    prevalence: float | None


@dataclass(frozen=True)
class Comparison:
    """A sample, compared.

    Args:
        rows: Number of its rows,
        requests: and of the requests that they are of.
        training_rows: Number of training rows.
        features: The features and their weights, the largest difference first.
        scores: The scores, in the order of the outputs.
    """

    rows: int
    requests: int
    training_rows: int
    features: Sequence[Skew]
    scores: Sequence[ScoreSkew]

    def above(self, limit: float) -> list[Skew]:
        """The judged features and scores whose index exceeds a limit by more than chance and usual differences do."""
        return [one for one in self._judged if one.beyond > limit]

    def untold(self, limit: float) -> list[Skew]:
        """Those of which the sample is too small to tell an index of this size from chance."""
        return [one for one in self._judged if one.chance >= limit]

    @property
    def _judged(self) -> list[Skew]:
        return [one for one in (*self.features, *(score.skew for score in self.scores)) if one.is_judged]


def compare(sample: Sample, reference: Reference, spec: FeatureSpec) -> Comparison:
    """Compare a sample with its model's training rows, in memory for one column at a time.

    Args:
        sample: The rows that the model has scored.
        reference: Its training rows and its scores of validation rows.
        spec: Declares its features.

    Raises:
        InputError: If a file of the sample cannot be read any more: a server removes the oldest ones.
    """
    try:
        return _compared(sample, reference, spec)
    except parquet.READ_ERRORS as error:
        reason = str(error).partition("\n")[0]
        fix = "a server may have removed it meanwhile: give the command again"
        raise InputError(f"a file of the sample cannot be read ({reason}); {fix}") from error


def _compared(sample: Sample, reference: Reference, spec: FeatureSpec) -> Comparison:
    rows, request_N = sample.rows(), sample.request_N
    found = dict[str, _Column]()
    for column in encoded_columns(spec):
        found[column] = _Column.of(rows, request_N, column, reference.training)
    features = []
    for name, feature in spec.features.items():
        ids, value, weight = (found.get(kind + name) for kind in (ID, VALUE, WEIGHT))
        features.append(_skew(name, ids, value, is_judged=feature.is_comparable_by_day))
        if weight is not None:
            features.append(_skew(f"{name} (weights)", None, weight, is_judged=True))
    scores = [_score(rows, request_N, column, reference) for column in reference.scores.distributions]
    ordered = sorted(features, key=lambda one: one.size, reverse=True)
    return Comparison(len(request_N), int(request_N.max()) + 1, reference.training.rows, ordered, scores)


@dataclass(frozen=True, eq=False)
class _Column:
    """A column of the sample beside that of the training rows."""

    entries_E: Entries
    request_E: Whole
    before: Distribution
    usual: float
    rows_before: int

    @classmethod
    def of(cls, rows: pl.LazyFrame, request_N: Whole, column: str, columns: Columns) -> _Column:
        found = rows.select(column).collect(engine="streaming").to_series()
        if found.dtype == pl.List:
            request_N = np.repeat(request_N, found.list.len().to_numpy())
            found = found.explode(empty_as_null=False)
        before = columns.distributions[column]
        return cls(found.to_numpy(), request_N, before, columns.usual.get(column, 0.0), columns.rows)

    def index(self) -> tuple[float, float]:
        """The index, and that by chance."""
        group_E, before_G = self.before.groups(self.entries_E), self.before.count_G
        count_G = np.bincount(group_E, minlength=len(before_G)).astype(np.int64)
        chance = index_by_chance(group_E, self.request_E, before_G, self.rows_before)
        return stability_index(count_G, before_G), chance

    def specials(self) -> tuple[tuple[float, float], tuple[float, float]] | tuple[None, None]:
        """Shares of null, and of out of vocabulary, each in the sample and in training."""
        if not isinstance(self.before, IdDistribution):
            return None, None
        now = special_shares(np.bincount(self.entries_E).astype(np.int64))
        null, unseen = zip(now, special_shares(self.before.count_I), strict=True)
        return null, unseen

    def shift(self) -> tuple[float, float] | tuple[None, None]:
        """The shift of the mean, and that by chance."""
        before = self.before
        if not isinstance(before, NumberDistribution):
            return None, None
        deviation = before.deviation or abs(before.mean) or 1.0
        moved = (float(self.entries_E.mean(dtype=np.float64)) - before.mean) / deviation
        return moved, shift_by_chance(self.entries_E, self.request_E, deviation, self.rows_before)


def _skew(name: str, ids: _Column | None, value: _Column | None, *, is_judged: bool) -> Skew:
    grouped = ids or value
    assert grouped is not None, "a feature has ids or a number"
    null, unseen = grouped.specials()
    shift, shift_chance = (None, None) if value is None else value.shift()
    return Skew(name, *grouped.index(), grouped.usual, null, unseen, shift, shift_chance, is_judged)


def _score(rows: pl.LazyFrame, request_N: Whole, column: str, reference: Reference) -> ScoreSkew:
    found, name = _Column.of(rows, request_N, column, reference.scores), column.removeprefix(SCORE)
    assert isinstance(found.before, NumberDistribution), "scores are numbers"
    skew = _skew(name, None, found, is_judged=True)
    return ScoreSkew(skew, float(found.entries_E.mean()), found.before.mean, reference.prevalence.get(name))
