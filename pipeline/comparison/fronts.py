"""The Pareto fronts of the families of methods that a search has tried, side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pipeline.comparison.confidence import scores_by_seed
from pipeline.comparison.point import Point
from pipeline.comparison.scores import TestRows
from pipeline.evaluation.intervals import LEVEL, Estimate, Floats
from pipeline.evaluation.pareto import dominates, hypervolume, pareto_mask
from pipeline.runs.run import Run

REFERENCE = 0.5  # the AUC of chance, on every task
STATIC = "static weights"
DRAWS = 500
# A volume of 20 points of eight tasks takes 20 ms, one of 30 points 260.
_FEW_TASKS, _FEW_POINTS = 4, 20
_TASK_WEIGHT = re.compile(r"spec\.tasks\..+\.weight|weights")
# The methods that leave the tasks' weights as the config has them.
_PLAIN = {"uniform", "static"}


@dataclass(frozen=True)
class Front:
    """The Pareto front of one family.

    Args:
        family: The method's name; ``"static weights"`` for plain sums whose tasks' weights were searched.
        points: Number of the family's complete points.
        labels: Its Pareto-optimal points by validation AUC, among its own points.
        undominated: Number of those that no point of another family's front dominates, by test AUC.
        hypervolume: Volume of test AUC between :data:`REFERENCE` and the front.
        low: Lower end of its interval; None where there is none, for a reason that :attr:`Fronts.note` says.
        high: Upper end.
    """

    family: str
    points: int
    labels: list[str]
    undominated: int
    hypervolume: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class FrontDifference:
    """The hypervolume of one family's front less that of another's.

    Args:
        family: The family.
        against: The family that it is compared with.
        delta: The difference.
        low: Lower end of its interval.
        high: Upper end.
    """

    family: str
    against: str
    delta: float
    low: float
    high: float


@dataclass(frozen=True)
class Fronts:
    """The fronts of several families.

    Args:
        fronts: One a family, in the order of the trials.
        differences: Those of every two families; empty where there are no intervals.
        note: Sentences that say how the figures are made.
    """

    fronts: list[Front]
    differences: list[FrontDifference]
    note: str


def family_of(point: Point) -> str:
    """The family of a point: its method, and whether tasks' weights were searched beside it."""
    is_weighted = any(_TASK_WEIGHT.fullmatch(name) for name in point.params)
    if point.family in _PLAIN:
        return STATIC if is_weighted or "weight=" in point.method else point.family
    return f"{point.family} with weights" if is_weighted else point.family


def front_points(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Family to its Pareto-optimal points by validation AUC, among its own complete points."""
    families: dict[str, list[Point]] = {}
    for point in points:
        if point.state == "complete" and not point.is_baseline:
            families.setdefault(family_of(point), []).append(point)
    return {family: _optimal(found) for family, found in families.items()}


def compare_fronts(
    points: Sequence[Point], tasks: Sequence[str], rows: TestRows, runs_of: Callable[[Point], list[Run]]
) -> Fronts | None:
    """The fronts of a search's families; None where there is one family or none.

    The front is chosen by validation AUC and measured by test AUC. Its interval is that of these very models over test
    rows: AUCs are drawn around those found with DeLong's covariance, the same draw for all families, and each draw has
    its hypervolumes. A union of boxes is larger when its corners are noisy, in a draw as in the figure itself, so
    the quantiles of the draws are reflected at the figure (the basic bootstrap).

    Args:
        points: The points of the search.
        tasks: The tasks.
        rows: The test rows.
        runs_of: The runs of a point, one a seed; empty if one of them is on another machine.
    """
    by_family = front_points(points)
    if len(by_family) < 2:
        return None
    test = {family: [[point.test[task] for task in tasks] for point in found] for family, found in by_family.items()}
    volumes = {family: _volume(front) for family, front in test.items()}
    runs = {point.label: runs_of(point) for found in by_family.values() for point in found}
    missing = _missing(by_family, len(tasks), runs)
    drawn = {} if missing else _drawn(by_family, tasks, rows, runs)
    fronts = [
        Front(
            family,
            sum(family_of(point) == family for point in points if point.state == "complete"),
            [point.label for point in found],
            sum(not _is_beaten(point, family, test) for point in test[family]),
            volumes[family],
            *(_interval(volumes[family], drawn[family]) if drawn else ()),
        )
        for family, found in by_family.items()
    ]
    return Fronts(fronts, _differences(volumes, drawn), _note(missing))


def _differences(volumes: Mapping[str, float], drawn: Mapping[str, Floats]) -> list[FrontDifference]:
    """The differences of every two families that have drawn fronts."""
    return [
        FrontDifference(one, other, delta, *_interval(delta, drawn[one] - drawn[other]))
        for one, other in combinations(drawn, 2)
        for delta in [volumes[one] - volumes[other]]
    ]


def _optimal(points: Sequence[Point]) -> list[Point]:
    mask = pareto_mask([[*point.val.values()] for point in points])
    return [point for point, is_optimal in zip(points, mask, strict=True) if is_optimal]


def _is_beaten(point: Sequence[float], family: str, fronts: Mapping[str, Sequence[Sequence[float]]]) -> bool:
    return any(dominates(other, point) for name, found in fronts.items() if name != family for other in found)


def _volume(front: Sequence[Sequence[float]]) -> float:
    return hypervolume(front, [REFERENCE] * len(front[0]))


def _missing(fronts: Mapping[str, Sequence[Point]], tasks: int, runs: Mapping[str, Sequence[Run]]) -> str:
    """The reason why there are no intervals; empty if there are."""
    if not all(runs.values()):
        return "runs of a front are on another machine"
    if tasks > _FEW_TASKS and max(map(len, fronts.values())) > _FEW_POINTS:
        return (
            f"a front has more than {_FEW_POINTS} points of more than {_FEW_TASKS} tasks, too many for {DRAWS} volumes"
        )
    return ""


def _drawn(
    fronts: Mapping[str, Sequence[Point]], tasks: Sequence[str], rows: TestRows, runs: Mapping[str, Sequence[Run]]
) -> dict[str, Floats]:
    """Family to the hypervolumes of its drawn fronts."""
    shown = [point for found in fronts.values() for point in found]
    seeds = sorted({run.seed for found in runs.values() for run in found})
    estimate = Estimate.of(rows.labels(tasks), scores_by_seed(tasks, rows, runs, seeds), rows.unit_N, rows.share)
    found = np.array([[point.test[task] for task in tasks] for point in shown])
    draw_DMT = found + _errors(estimate.mean_KK).reshape(DRAWS, *found.shape)
    places = iter(range(len(shown)))
    return {
        family: np.array([_volume(draw_MT) for draw_MT in draw_DMT[:, [next(places) for _ in front]].tolist()])
        for family, front in fronts.items()
    }


def _errors(covariance_KK: Floats) -> Floats:
    """Draws of correlated normal errors, draws x K."""
    values, vectors = np.linalg.eigh(covariance_KK)
    normal = np.random.default_rng(0).standard_normal((DRAWS, len(values)))
    drawn: Floats = normal @ (vectors * np.sqrt(values.clip(min=0))).T
    return drawn


def _interval(figure: float, draw_D: Floats) -> Iterator[float]:
    """The ends of the basic bootstrap's interval."""
    tail = (1 - LEVEL) / 2
    yield from (2 * figure - float(end) for end in np.quantile(draw_D, [1 - tail, tail]))


def _note(missing: str) -> str:
    found = (
        f"Hypervolume: of test AUC above {REFERENCE} on every task, below the points that are Pareto-optimal in their "
        "family by validation AUC. Undominated: those that no point of another family's front dominates, by test AUC"
    )
    if missing:
        return f"{found}. No intervals: {missing}."
    level = f"{LEVEL * 100:.0f} % intervals by bootstrap over test rows"
    return f"{found}. {level}; they cover these models only, not retraining."
