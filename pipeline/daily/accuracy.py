"""A model's AUC on the new day beside that on other days, with sampling errors: are the day's labels in doubt?

A day of 60 positives has an AUC that is off by 0.03 as often as not. A drop counts only as far as chance rules out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, variance

from scipy.special import ndtri

from pipeline.comparison.scores import TestRows, computed_scores, scores_of
from pipeline.daily.record import TRAINING
from pipeline.data.prepared import Prepared
from pipeline.evaluation.bootstrap import Integers
from pipeline.evaluation.intervals import Array, Estimate
from pipeline.registry.gate import Check
from pipeline.runs.run import Run

# For all tasks of a day together, that a drop is real, and that a model is better than chance.
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Accuracy:
    """An AUC on one day's rows.

    Args:
        auc: The AUC.
        error: Its standard error over the rows, or over their groups; 0 if unknown.
    """

    auc: float
    error: float = 0.0

    def __str__(self) -> str:
        return f"{self.auc:.4f} ± {self.error:.4f}"


@dataclass(frozen=True)
class Beside:
    """A task's AUC on the new day, and on the days that it is compared with.

    Args:
        task: The task.
        day: The new model's AUC on the new day.
        before: Its AUC on the day before, which chose its epoch.
        kept: AUCs of earlier days that later days read, each of that day's own model, the oldest first.
    """

    task: str
    day: Accuracy
    before: Accuracy
    kept: Sequence[Accuracy] = ()


def accuracies(prepared: Prepared, run: Run) -> Iterator[tuple[str, Accuracy, Accuracy]]:
    """Each task of a run, with its AUC on the new day, which tests, and on the day before, which validates.

    Args:
        prepared: The run's data.
        run: The finished run.
    """
    day, before = TestRows(prepared), TestRows(prepared, split="val")
    errors = [_errors(run, day, scores_of(run, day)), _errors(run, before, computed_scores(run, before))]
    for task in run.tasks:
        aucs = (run.test[task]["auc"], run.val[task]["auc"])
        of_day, of_before = (Accuracy(auc, error[task]) for auc, error in zip(aucs, errors, strict=True))
        yield task, of_day, of_before


def standard_errors(labels_NT: Array, scores_NT: Array, unit_N: Integers | None, share: float = 1.0) -> list[float]:
    """The standard error of each task's AUC.

    The estimate by DeLong et al. is 0 where a handful of positives happens to be on top. So it counts at least as much
    as the formula of Hanley and McNeil gives for the highest AUC that so few rows can tell from 1.

    Args:
        labels_NT: 0, 1, or NaN where unknown.
        scores_NT: Scores, higher for likelier positives.
        unit_N: Units of dependent rows; None where each row is its own.
        share: Share of all rows that these are a sample of.

    References:
        Hanley, McNeil, `The meaning and use of the area under a ROC curve
        <https://doi.org/10.1148/radiology.143.1.7063747>`_, 1982.
    """
    found = Estimate.of(labels_NT, [scores_NT], unit_N, share)
    positives, negatives = ((labels_NT == label).sum(axis=0).tolist() for label in (1, 0))
    least = [share * _least_variance(p, n) for p, n in zip(positives, negatives, strict=True)]
    return [sqrt(max(pair)) for pair in zip(found.mean_KK.diagonal().tolist(), least, strict=True)]


def day_check(one: Beside, most: float, tasks: int) -> Check:
    """Check whether the day's AUC is lower than on the day before and than on the kept days, by more than is allowed.

    The drop against the day before is the same model's; the one against the kept days does not hang on a single day,
    which may have been lucky. Labels that are wrong cause both. A model that has learnt nothing has the same AUC on
    every day, and raises no doubt of the data.

    Args:
        one: The AUCs.
        most: The largest drop that is allowed.
        tasks: Number of tasks that are checked together.
    """
    sure = float(ndtri(1 - (1 - CONFIDENCE) / tasks))
    drops = [one.before.auc - one.day.auc - sure * sqrt(one.day.error**2 + one.before.error**2)]
    found = f"AUC {one.day}, {one.before} on the day before"
    if one.kept:
        level, error = _level(one.kept)
        drops.append(level - one.day.auc - sure * sqrt(one.day.error**2 + error**2))
        found += f", {level:.4f} on average over {len(one.kept)} kept day(s)"
    rule = f"with {CONFIDENCE:.0%} confidence at most {most:g} lower than on either"
    name = f"AUC of {one.task} on the day"
    return Check(name, min(drops) <= most, found, rule)


def model_check(one: Beside, steps: int, tasks: int) -> Check:
    """Check whether the model is better than chance on the day or on the day before; if not, the model is at fault.

    Args:
        one: The AUCs.
        steps: Number of steps that the model was trained for.
        tasks: Number of tasks that are checked together.
    """
    found = f"AUC {one.day}, {one.before} on the day before, after {steps} steps"
    rule = (
        f"above 0.5 on one of both with {CONFIDENCE:.0%} confidence; a model at chance says nothing about the data: "
        "train it longer (`train.epochs`, a smaller `train.batch_size`, a higher `train.lr`)"
    )
    return Check(f"{TRAINING}{one.task}", not is_chance(one, tasks), found, rule)


def is_chance(one: Beside, tasks: int) -> bool:
    """Whether neither day shows the model to be better than chance."""
    sure = float(ndtri(1 - (1 - CONFIDENCE) / tasks))
    return all(found.auc - sure * found.error <= 0.5 for found in (one.day, one.before))


def _level(kept: Sequence[Accuracy]) -> tuple[float, float]:
    """The mean of some days' AUCs, and the standard deviation of a further day's true AUC around it."""
    aucs, sampling = [found.auc for found in kept], mean(found.error**2 for found in kept)
    between = max(0.0, variance(aucs) - sampling) if len(aucs) > 1 else 0.0
    return mean(aucs), sqrt(between * (1 + 1 / len(aucs)) + sampling / len(aucs))


def _errors(run: Run, rows: TestRows, scores_NT: Array) -> Mapping[str, float]:
    found = standard_errors(rows.labels(run.tasks), scores_NT, rows.unit_N, rows.share)
    return dict(zip(run.tasks, found, strict=True))


def _least_variance(positives: int, negatives: int) -> float:
    """Variance of an AUC that is half a row away from 1."""
    fewer = min(positives, negatives)
    if not fewer:
        return 0.0
    a = (fewer + 0.5) / (fewer + 1)
    of_pairs = (positives - 1) * (a / (2 - a) - a**2) + (negatives - 1) * (2 * a**2 / (1 + a) - a**2)
    return (a * (1 - a) + of_pairs) / (positives * negatives)
