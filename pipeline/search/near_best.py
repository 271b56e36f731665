"""The sampler of a preset: most points are near the best one, since a budget has few points for many dimensions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

_LEAST_POINTS = 5  # complete ones, before which the best means little
_ELSEWHERE = 0.25  # share of the points that TPE chooses in the whole space
_MOST_CHANGES = 3
_SCALE = 0.15  # standard deviation of a number's step, as a share of its range
_BEST = 3  # points of which one is changed


class NearBestSampler(BaseSampler):
    """Changes a few dimensions of a good point.

    The good point is one of the best three, or the best with the changes of all other points that are better than the
    first point put together, the best ones first: changes that helped alone often help together. That is tried once as
    it is; every other point has one to three of its dimensions drawn anew, alternatives evenly, numbers near the old
    one. Dimensions that the good point lacks have their usual values. A quarter of the points, and all while fewer than
    five are complete, are those of TPE, which looks at the whole space.

    Args:
        seed: Seed of this point's choice.
        usual: Name of each dimension to its usual value.
    """

    def __init__(self, seed: int, usual: Mapping[str, Any]) -> None:
        self._random, self._usual = np.random.default_rng(seed), usual
        self._tpe = TPESampler(seed=seed, multivariate=True, group=True)
        self._near: dict[str, Any] | None = None
        self._changed: frozenset[str] = frozenset()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Choose the good point, and the dimensions to draw anew."""
        self._tpe.before_trial(study, trial)
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < _LEAST_POINTS or self._random.random() < _ELSEWHERE:
            return
        together = self._together(complete, study.directions)
        if not self._is_known(together, study) and self._random.random() < 0.5:
            self._near = together
            return
        ranked = sorted(complete, key=lambda one: -_score(one, study.directions))
        good = [together, *(one.params for one in ranked[:_BEST])]
        self._near = good[self._random.integers(len(good))]
        changes = self._random.integers(1, _MOST_CHANGES, endpoint=True)
        names = self._random.permutation(sorted(self._near))[:changes]
        self._changed = frozenset(map(str, names))

    def _together(self, complete: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> dict[str, Any]:
        """The best point with the changes of all others that are better than the first one."""
        first = min(complete, key=lambda one: one.number)
        ranked = sorted(complete, key=lambda one: -_score(one, directions))
        better = [one for one in ranked if _score(one, directions) > _score(first, directions)] or [first]
        changed: dict[str, Any] = {}
        for one in better:
            own = {name: value for name, value in one.params.items() if value != first.params.get(name)}
            # A change is taken whole or not at all: the parts of an optimizer or an architecture belong together.
            if not own.keys() & changed.keys():
                changed |= own
        return {**first.params, **changed}

    def _is_known(self, together: Mapping[str, Any], study: Study) -> bool:
        """Whether a trial has been given these values; a dimension that does not apply is in no trial."""
        tried = [one.params for one in study.get_trials(deepcopy=False) if one.params]
        return any(all(together.get(n, self._usual[n]) == v for n, v in params.items()) for params in tried)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The dimensions that TPE chooses together; none near a good point."""
        return {} if self._near is not None else self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """TPE's choice of these dimensions."""
        return {} if self._near is not None else self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value of one dimension."""
        if self._near is None:
            return self._tpe.sample_independent(study, trial, param_name, param_distribution)
        value = self._near.get(param_name, self._usual[param_name])
        return self._drawn(value, param_distribution) if param_name in self._changed else value

    def _drawn(self, value: Any, distribution: BaseDistribution) -> Any:
        """Another value of a dimension."""
        if isinstance(distribution, CategoricalDistribution):
            others = [other for other in distribution.choices if other != value] or [value]
            return others[self._random.integers(len(others))]
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        scale, back = (math.log, math.exp) if distribution.log else (float, float)
        low, high = scale(distribution.low), scale(distribution.high)
        moved = back(scale(value) + self._random.normal(0, _SCALE * (high - low)))
        inside = min(max(moved, distribution.low), distribution.high)
        return round(inside) if isinstance(distribution, IntDistribution) else inside


def _score(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> float:
    """A trial's objectives as one number, higher for better points."""
    signs = [1 if direction == StudyDirection.MAXIMIZE else -1 for direction in directions]
    return math.fsum(sign * value for sign, value in zip(signs, trial.values, strict=True))
