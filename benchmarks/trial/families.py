"""The families of the trial: each maps a row of one matrix of draws to a method and its rates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import qmc

from gradops.base import GramianMethod
from gradops.catalogue import backward_passes, search_space
from gradops.methods import METHODS, format_method, parse
from gradops.methods.static import Static
from pipeline.search.method_options import option_of, with_options

Kind = Literal["floor", "tuned weights", "losses", "gradients", "separate models"]

TRIALS, MORE_TRIALS = 20, 60
_MOST_TASKS, _ROWS = 8, 64
_SEEDS = {1: 19, 2: 20}  # sequence of trials to the seed that scrambles it
LR, DROPOUT = (2e-3, 6e-2), (0.0, 0.3)
# The tables' optimizer to the range of their rate.
TABLE_LR = {"rowwise_adagrad": (0.03, 1.0), "adam": (2e-3, 6e-2), "sgd": (1.0, 100.0)}
_SHARED = 3
WEIGHT = (0.1, 10.0)
POWER = (-0.5, 1.5)
# A run has few hundred steps: numbers of steps that are made for longer runs are cut to about a tenth of it.
_WRITTEN = {"stch": "stch(warmup=50, window=50)", "dwa": "dwa(window=50)"}
_RANGES = {("autoscale", "explore"): (20.0, 200.0), ("gradops_near_0", "alpha"): (-1.0, 1.0)}
_WEIGHTED = ("static", "gradops_static")  # whose option is a weight for each task


@cache
def draws(sequence: int = 1) -> npt.NDArray[np.float64]:
    """Rows in [0, 1), one a trial: a scrambled Sobol sequence, so that the first n rows cover the cube for every n."""
    sobol = qmc.Sobol(_SHARED + _MOST_TASKS, scramble=True, rng=_SEEDS[sequence])
    drawn: npt.NDArray[np.float64] = sobol.random(_ROWS)
    return drawn


@dataclass(frozen=True)
class Family:
    """A family of systems, of which each trial is one.

    Args:
        name: Its name; that of a method of the catalogue is the method's.
        kind: What it stands for.
        trials: Number of trials.
        runs: Name of the family whose runs it counts as its own; by default itself.
        sequence: Number of the sequence that its trials are drawn from.
        of: Name of the family whose method it has, over another range or from another sequence; by default itself.
        task_weights: The value of the config's ``train.task_weights``.
    """

    name: str
    kind: Kind
    trials: int = TRIALS
    runs: str = ""
    sequence: int = 1
    of: str = ""
    task_weights: str = "equal"

    @property
    def file(self) -> str:
        """The name of the file of its runs."""
        return self.runs or self.name

    @property
    def base(self) -> str:
        """The name of the family whose method it has."""
        return self.of or self.file

    def again(self) -> Family:
        """The same family with the trials of the second sequence."""
        return replace(self, name=f"{self.name}@2", sequence=2, of=self.base)

    @property
    def cost(self) -> str:
        """What a step of it costs: families of one cost differ by the noise of a busy machine alone."""
        if self.kind == "separate models":
            return self.name
        kind = METHODS.get(self.base, Static)  # `static_power` is one of its weights
        return backward_passes(kind) + (" and rotations" if kind().rotation is not None else "")

    def shared(self, trial: int, tables: str) -> Mapping[str, Any]:
        """Values of the config that all families draw: equal trials of two families have equal values."""
        drawn = draws(self.sequence)[trial]
        values = {"train.lr": _log(drawn[0], LR), "model.dropout": _digits(DROPOUT[1] * drawn[2])}
        return values | {"train.table_lr": _log(drawn[1], TABLE_LR[tables])}

    def method(self, trial: int, rates: Sequence[float]) -> str:
        """The method of a trial.

        Args:
            trial: Its number.
            rates: The tasks' prevalences.
        """
        drawn = draws(self.sequence)[trial, _SHARED:]
        if self.kind == "separate models":
            return "uniform"
        if self.base == "static_power":
            return format_method(Static(weight=_power(self.power(trial), rates)))
        if self.base in _WEIGHTED:
            logs = [_log(u, WEIGHT) for u in drawn[: len(rates)]]
            return format_method(METHODS[self.base](weight=_of_sum(logs)))  # type: ignore[call-arg]  # all of them have it
        return _drawn(self.name, self.base, drawn)

    def power(self, trial: int) -> float:
        """The power of a trial of ``static_power``."""
        return float(POWER[0] + (POWER[1] - POWER[0]) * draws(self.sequence)[trial, _SHARED])

    def described(self, trial: int) -> str:
        """The options of a trial, for tables; weights of tasks by the trial's number."""
        if self.base == "static_power":
            return f"power {self.power(trial):.2f}"
        if self.base in _WEIGHTED or self.kind == "separate models" or self.task_weights != "equal":
            return f"trial {trial}"
        return f"`{_drawn(self.name, self.base, draws(self.sequence)[trial, _SHARED:])}`"


def _drawn(name: str, base: str, drawn: npt.NDArray[np.float64]) -> str:
    """A method of the catalogue with its searched options drawn; wide positive ranges on a logarithmic scale."""
    method = parse(_WRITTEN.get(base, base))
    options: dict[str, Any] = {}
    for u, (option, catalogued) in zip(drawn, search_space(method).items(), strict=False):
        low, high = _RANGES.get((name, option), _RANGES.get((base, option), catalogued))
        is_wide = low > 0 and high / low >= 10
        value = _log(u, (low, high)) if is_wide else _digits(low + u * (high - low))
        options[option] = round(value) if isinstance(option_of(method, option), int) else value
    return with_options(method, options) if options else format_method(method)


def _power(power: float, rates: Sequence[float]) -> tuple[float, ...]:
    """Weights that are the loss of a constant prediction to the power ``-power``: 0 is uniform, 1 is 1/L."""
    entropy = [-p * math.log(p) - (1 - p) * math.log1p(-p) for p in rates]
    return _of_sum([value**-power for value in entropy])


def _of_sum(weights: Sequence[float]) -> tuple[float, ...]:
    """Weights scaled to a sum of T, as uniform ones have."""
    return tuple(_digits(weight * len(weights) / sum(weights)) for weight in weights)


def _log(u: float, limits: tuple[float, float]) -> float:
    return _digits(limits[0] * (limits[1] / limits[0]) ** u)


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def _kind(name: str) -> Kind:
    if name in ("uniform", "log_loss", "autoscale", "rlw"):
        return "floor"
    if name == "static":
        return "tuned weights"
    method = METHODS[name]
    reads_none = issubclass(method, GramianMethod) and not method.needs_gramian and method().rotation is None
    return "losses" if reads_none else "gradients"


STATIC_MORE = Family("static_60", "tuned weights", MORE_TRIALS, runs="static")
POWER_MORE = Family("static_power_60", "tuned weights", MORE_TRIALS, runs="static_power")
SEPARATE = (Family("single_task_equal", "separate models"), Family("single_task", "separate models"))
UNIFORM, STATIC = Family("uniform", "floor"), Family("static", "tuned weights")
STATIC_POWER = Family("static_power", "tuned weights")
# The order in which they run. The methods that most comparisons have come first: what time does not allow is then of
# the others.
_FLOORS = ("log_loss", "autoscale", "rlw")
_USUAL = ("pcgrad", "gradops", "cagrad", "mgda", "imtl_g", "gradnorm", "uncertainty", "fairgrad", "upgrad", "db_mtl")
_NAMES = dict.fromkeys((*_FLOORS, *_USUAL, *(name for name in METHODS if name not in ("uniform", "static"))))
FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        *(UNIFORM, STATIC, STATIC_POWER),
        *(Family(name, _kind(name)) for name in _NAMES),
        *SEPARATE,
        *(STATIC_MORE, POWER_MORE),
    )
}
# After the registered range of alpha was found to be mostly unusable.
GRADOPS_NEAR_0 = Family("gradops_near_0", "gradients", of="gradops")
# After one power of the losses had won: the nearest to it that a config has without a search of weights.
SQRT_INVERSE_RATE = Family("sqrt_inverse_rate", "floor", of="uniform", task_weights="sqrt_inverse_rate")
POST_HOC = (GRADOPS_NEAR_0, SQRT_INVERSE_RATE)  # they enter no choice, no verdict and no other family's cost
METHOD_FAMILIES = [family for family in FAMILIES.values() if family.kind in ("losses", "gradients")]
BASIC = [f for f in FAMILIES.values() if f.kind in ("floor", "tuned weights", "separate models") and not f.runs]
SECOND = {name: f.again() for name, f in FAMILIES.items() if not f.runs and f not in SEPARATE}
EVERY = FAMILIES | {family.name: family for family in (*POST_HOC, *SECOND.values())}
