"""How T task gradients become one. Torch and numpy: knows no table, no model of ours, no file."""

from gradops.base import Cut, ElementwiseMethod, GramianMethod, Method, State
from gradops.diagnostics import StepReport
from gradops.gauge import Gauge
from gradops.group import Group, Ranks
from gradops.jacobian import Microbatch
from gradops.optimizer import MultiTaskOptimizer

__all__ = [
    "Cut",
    "ElementwiseMethod",
    "Gauge",
    "GramianMethod",
    "Group",
    "Method",
    "Microbatch",
    "MultiTaskOptimizer",
    "Ranks",
    "State",
    "StepReport",
]
