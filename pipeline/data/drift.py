"""Drift: the difference of some rows, such as one day's, from the training rows, feature by feature."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from features.encoder import ID, LABEL, VALUE
from features.spec import FeatureSpec
from pipeline.data.distributions import IdDistribution, count_ids, special_shares, stability_index
from pipeline.data.prepared import Prepared


@dataclass(frozen=True)
class Drift:
    """The drift of one feature on one day, compared with the training days.

    Args:
        feature: Its name.
        psi: Population stability index: the sum over groups of ids of (p - q) ln(p / q), with the shares p of the day
            and q of the training days. Null and out of vocabulary are a group each; the known ids form ten groups of
            about equal share in training. By common rule an index below 0.1 is no drift, and one above 0.25 is; for
            ids that are mostly rare, such as users, the index is high on every day. None for a feature without ids.
        null: Share of the day's entries that are null; None for a feature without ids.
        unknown: Share of the day's entries that are out of vocabulary; None for a feature without ids.
        shift: Difference of the means of a numeric feature's value, in standard deviations of the training days; None
            for a feature without a value.
    """

    feature: str
    psi: float | None
    null: float | None
    unknown: float | None
    shift: float | None

    @property
    def size(self) -> float:
        """The larger of the index and the size of the shift: what drifts are sorted by."""
        return max(self.psi or 0.0, abs(self.shift or 0.0))


@dataclass(frozen=True)
class Positives:
    """A task's positives among some rows.

    Args:
        count: Their number.
        known: Number of rows whose label is known.
    """

    count: int
    known: int

    @property
    def share(self) -> float:
        """Their share among the known labels; NaN without any."""
        return self.count / self.known if self.known else float("nan")


@dataclass(frozen=True)
class Summary:
    """One day, compared with the training days.

    Args:
        drifts: The drift of every feature, the largest first.
        positives: Task to its positives, on the day and in training.
    """

    drifts: tuple[Drift, ...]
    positives: dict[str, tuple[Positives, Positives]]


def summary(prepared: Prepared) -> Summary:
    """Compare the test rows of prepared data with its training rows, in memory for the ids of one feature."""
    spec = prepared.encoder().spec
    day, training = prepared.scan("test"), prepared.scan("train")
    found = TrainingRows(training, spec).drifts(day)
    of_day, of_training = (positives(rows, list(spec.tasks)) for rows in (day, training))
    return Summary(
        drifts=tuple(sorted(found, key=lambda one: -one.size)),
        positives={task: (of_day[task], of_training[task]) for task in spec.tasks},
    )


def comparable(found: Summary, prepared: Prepared) -> list[Drift]:
    """The drifts of the features whose ids on a single day should resemble those of the training days."""
    features = prepared.encoder().spec.features
    return [one for one in found.drifts if features[one.feature].is_comparable_by_day]


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Encoded training rows that others are compared with; what is counted of them is kept between comparisons.

    Args:
        rows: The rows.
        spec: Declares the features.
    """

    rows: pl.LazyFrame
    spec: FeatureSpec
    _kept: dict[str, IdDistribution] = field(default_factory=dict, init=False)
    _moments: list[pl.DataFrame] = field(default_factory=list, init=False)

    def drifts(self, day: pl.LazyFrame) -> list[Drift]:
        """The drift of every feature in other encoded rows, in the order of the spec."""
        shifts = self._shifts(day, list(self.spec.value_features))
        found = []
        for name in self.spec.features:
            psi, null, unknown = self._by_ids(day, name) if name in self.spec.id_features else (None, None, None)
            found.append(Drift(name, psi, null, unknown, shifts.get(name)))
        return found

    def _by_ids(self, day: pl.LazyFrame, name: str) -> tuple[float, float, float]:
        """The index, and the shares of null and of unknown entries on the day."""
        if name not in self._kept:
            self._kept[name] = IdDistribution.of(self.rows, ID + name)
        training, count_I = self._kept[name], count_ids(day, ID + name)
        return stability_index(training.summed(count_I), training.count_G), *special_shares(count_I)

    def _shifts(self, day: pl.LazyFrame, names: list[str]) -> dict[str, float]:
        """The shift of each numeric value's mean, in standard deviations of the training rows."""
        columns = [pl.col(VALUE + name) for name in names]
        of_day = day.select(pl.len(), *(c.mean() for c in columns)).collect(engine="streaming").row(0)[1:]
        if not self._moments:
            both = self.rows.select(
                pl.len(), *(c.mean() for c in columns), *(c.std().name.suffix(" sd") for c in columns)
            )
            self._moments.append(both.collect(engine="streaming"))
        _, *of_training = self._moments[0].row(0)
        moved = zip(names, of_day, of_training, of_training[len(names) :], strict=False)
        return {name: (mean - before) / deviation if deviation else 0.0 for name, mean, before, deviation in moved}


def positives(rows: pl.LazyFrame, tasks: list[str]) -> dict[str, Positives]:
    """The positives of each task."""
    labels = [pl.col(LABEL + task) for task in tasks]
    counts = rows.select(*(one.sum() for one in labels), *(one.count().name.suffix(" known") for one in labels))
    found = counts.collect(engine="streaming").row(0)
    return {t: Positives(int(n), known) for t, n, known in zip(tasks, found, found[len(tasks) :], strict=False)}
