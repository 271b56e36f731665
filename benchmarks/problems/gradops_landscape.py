r"""GradOPS, appendix B: two losses of two parameters, three starts, Adam 1e-3, 20,000 steps.

With :math:`\theta = (a, b)` and s = 0.7 for task 1, -0.7 for task 2:

- :math:`f = \log \max(|5(-a - s) - \tanh(-3b)|, 5 \cdot 10^{-4}) + 1`, a ravine;
- :math:`g = 1.5 \tanh(2(-a + s)^2)(a^2 + 1) + (-b - 0.8)^2 - 2.5`, a bowl;
- :math:`L = \max(\tanh(5b), 0)\, f + \max(\tanh(-5b), 0)\, g`: ravines above b = 0, bowls below, both losses 0 on it.

The paper prints f in both terms of L; the second is g, as in the example of CAGrad's that it modifies.

What holds as printed: the sum's gradient stalls in a ravine from two of the three starts, and GradOPS ends at
different points of the bowls' Pareto front for different alpha, all four from the start that is among the bowls.

What does not, by our runs:

- After 20,000 steps not every run has reached the front. With alpha >= 0, and from (0.9, 0.9) with -2 too, runs rest
  for thousands of steps on the crease b = 0, where the gradients are opposite: Pareto-stationary, but beaten by the
  bowls on both tasks. All twelve are on the front after 40,000 steps.
- The front of the problem as a whole is not only the bowls': the floor of a ravine, at -6.6 for one task, is below any
  bowl. Runs that stall there bounce about a sum (in the median -3.1 and -3.7) that is lower than any of the bowls'
  (-2.99): stalled, one task sacrificed, and yet ahead by the sum.
- The end points move on. On the front nothing is left of the gradients but rounding, Adam divides rounding by its own
  length, and the runs creep along the front: after more steps they are still on it, and less far apart.
"""

from __future__ import annotations

from functools import cache
from math import log, tanh

import torch
from torch import Tensor

from benchmarks.problems import plane
from benchmarks.problems.plane import Point, Weigh

STARTS: tuple[Point, ...] = ((-0.85, 0.75), (-0.85, -0.3), (0.9, 0.9))
ALPHAS = (-5.0, -2.0, 0.0, 2.0)
STEPS = 20_000

_SIDES = (0.7, -0.7)


def losses(point_TP: Tensor) -> Tensor:
    """Both losses, each at its own copy of the point (or at one for both): ``... x T x 2`` to ``... x T``."""
    a, b = point_TP.unbind(-1)
    side_T = point_TP.new_tensor(_SIDES)
    ravine = (5 * (-a - side_T) - torch.tanh(-3 * b)).abs().clamp(min=5e-4).log() + 1
    bowl = 1.5 * torch.tanh(2 * (-a + side_T).square()) * (a.square() + 1) + (-b - 0.8).square() - 2.5
    return torch.tanh(5 * b).clamp(min=0) * ravine + torch.tanh(-5 * b).clamp(min=0) * bowl


def slopes(a: float, b: float) -> tuple[float, float, float, float]:
    """Both gradients, see :mod:`benchmarks.problems.plane`."""
    one = _ravine if b > 0 else _bowl
    return (*one(a, b, _SIDES[0]), *one(a, b, _SIDES[1]))


def _ravine(a: float, b: float, side: float) -> tuple[float, float]:
    cover, bend = tanh(5 * b), tanh(-3 * b)
    offset = 5 * (-a - side) - bend
    height = log(max(abs(offset), 5e-4)) + 1
    steepness = cover / offset if abs(offset) >= 5e-4 else 0.0
    return -5 * steepness, 5 * (1 - cover * cover) * height + 3 * (1 - bend * bend) * steepness


def _bowl(a: float, b: float, side: float) -> tuple[float, float]:
    cover, rise = tanh(-5 * b), tanh(2 * (side - a) ** 2)
    height = 1.5 * rise * (a * a + 1) + (b + 0.8) ** 2 - 2.5
    along = 1.5 * (2 * a * rise - 4 * (side - a) * (1 - rise * rise) * (a * a + 1))
    return cover * along, 2 * cover * (b + 0.8) - 5 * (1 - cover * cover) * height


def run(weigh: Weigh, start: Point, steps: int = STEPS, every: int = 20) -> Tensor:
    """The path of one run, every 20 steps."""
    return torch.tensor(plane.descend(slopes, weigh, start, steps, every), dtype=torch.float64)


@cache
def front() -> Tensor:
    """The bowls' Pareto front by brute force: losses of the points of a fine grid that no other point beats, N x 2.

    The front is found among the bowls alone (b <= 0), where the paper draws it.
    """
    a, b = torch.linspace(-1.5, 1.5, 1501).double(), torch.linspace(-1.2, 0, 601).double()
    losses_N2 = losses(torch.cartesian_prod(a, b)[:, None])
    losses_N2 = losses_N2[losses_N2[:, 0].argsort(stable=True)]
    least_N = losses_N2[:, 1].cummin(0).values
    return losses_N2[torch.cat([torch.ones(1, dtype=torch.bool), losses_N2[1:, 1] < least_N[:-1]])]


def excess(point: Tensor) -> float:
    """The margin by which a point of the bowls beats this one on both losses; 0 on their front, to the grid's 1e-3."""
    return float((losses(point[None]) - front()).min(1).values.max().clamp(min=0))
