"""Combines T task gradients into one. Needs torch and numpy only, and is independent of tables, models and files."""

import warnings
from typing import TYPE_CHECKING

from gradops.base import Cut, ElementwiseMethod, GramianMethod, Method, State
from gradops.diagnostics import StepReport
from gradops.gram_estimator import GramEstimator
from gradops.group import Group, Ranks
from gradops.jacobian import Microbatch
from gradops.optimizer import MultiTaskOptimizer

__all__ = [
    "Cut",
    "ElementwiseMethod",
    "GramEstimator",
    "GramianMethod",
    "Group",
    "Method",
    "Microbatch",
    "MultiTaskOptimizer",
    "Ranks",
    "State",
    "StepReport",
]

if TYPE_CHECKING:
    Gauge = GramEstimator
else:

    def __getattr__(name: str) -> type[GramEstimator]:
        """The former name of a class, kept for one release."""
        if name != "Gauge":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        warnings.warn(
            "gradops.Gauge is now gradops.GramEstimator; the old name goes with the next release", DeprecationWarning, 2
        )
        return GramEstimator
