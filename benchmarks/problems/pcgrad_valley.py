r"""PCGrad, appendix B: a steep, curved valley, from (0.5, -3), Adam 1e-3.

With :math:`\theta = (a, b)`: :math:`L_1 = 20 \log \max(|a/2 + \tanh b|, 5 \cdot 10^{-6})` and
:math:`L_2 = 25 \log \max(|a/2 - \tanh b + 2|, 5 \cdot 10^{-6})`. Each is a ravine; they meet only where tanh b is 1 and
a is -2. Both methods fall into the first ravine within a thousand updates and bounce between its walls from then on. So
the total loss at any one update is chance; the second task's loss, a function of the place along the ravine, is not.

What holds: PCGrad follows the ravine to where the two meet, and plain Adam stalls (it creeps the other way). It takes
some 150,000 updates to turn the bend. Our notes do not say how many the paper makes; we make 500,000. After 20,000 both
methods are still in the bend, and PCGrad's total loss is no lower than Adam's.
"""

from __future__ import annotations

from math import tanh

import torch
from torch import Tensor

from benchmarks.problems import plane
from benchmarks.problems.plane import Point, Weigh

START: Point = (0.5, -3.0)
STEPS = 500_000
_LEAST = 5e-6


def losses(point_TP: Tensor) -> Tensor:
    """Both losses, each at its own copy of the point (or at one for both): ``... x T x 2`` to ``... x T``."""
    a, b = point_TP.unbind(-1)
    scale_T, sign_T, shift_T = point_TP.new_tensor([[20.0, 25.0], [1.0, -1.0], [0.0, 2.0]]).unbind()
    distance = (0.5 * a + sign_T * torch.tanh(b) + shift_T).abs()
    return scale_T * distance.clamp(min=_LEAST).log()


def slopes(a: float, b: float) -> tuple[float, float, float, float]:
    """Both gradients, see :mod:`benchmarks.problems.plane`."""
    bend = tanh(b)
    flat, first, second = 1 - bend * bend, 0.5 * a + bend, 0.5 * a - bend + 2
    steep1 = 20 / first if abs(first) >= _LEAST else 0.0
    steep2 = 25 / second if abs(second) >= _LEAST else 0.0
    return 0.5 * steep1, flat * steep1, 0.5 * steep2, -flat * steep2


def run(weigh: Weigh, start: Point = START, steps: int = STEPS, every: int = 100) -> Tensor:
    """The path of one run, every 100 steps."""
    return torch.tensor(plane.descend(slopes, weigh, start, steps, every), dtype=torch.float64)
