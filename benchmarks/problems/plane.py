"""Two tasks with two parameters, in plain floats: a step takes microseconds.

Through autograd and a method's `weights` a step takes about a millisecond, and the papers' runs are 20,000 to 500,000
steps long. With two tasks these methods have closed forms in three products of gradients. Tests hold the forms to
`gradops.methods`, the slopes of each problem to autograd on its losses, and whole runs to `MultiTaskOptimizer`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log, sqrt, tanh

from gradops.linalg import VANISHING

Point = tuple[float, float]
Slopes = Callable[[float, float], tuple[float, float, float, float]]
"""A point (a, b) to both task gradients: dL1/da, dL1/db, dL2/da, dL2/db."""
Weigh = Callable[[float, float, float], tuple[float, float]]
"""The products g1.g1, g1.g2, g2.g2 to the weights of g1 and g2."""


def plain(k11: float, k12: float, k22: float) -> tuple[float, float]:
    """The plain sum of both gradients."""
    del k11, k12, k22
    return 1.0, 1.0


def pcgrad(k11: float, k12: float, k22: float) -> tuple[float, float]:
    """PCGrad; with two tasks there is no order to draw."""
    if k12 >= 0:
        return 1.0, 1.0
    return 1 - k12 / k11, 1 - k12 / k22


def gradops(alpha: float) -> Weigh:
    """GradOPS: PCGrad's two gradients, reweighted; the MGDA point where nothing is left of them."""

    def weigh(k11: float, k12: float, k22: float) -> tuple[float, float]:
        if k12 < 0:
            if 1 - k12 * k12 / (k11 * k22) <= VANISHING:
                first = (k22 - k12) / (k11 + k22 - 2 * k12)
                return first, 1 - first
            # R_i = |g'_i|^2 / |g_i| is |g_i| times the same squared sine for both tasks.
            first, second = _reweight(sqrt(k11), sqrt(k22), alpha)
            return first - second * k12 / k11, second - first * k12 / k22
        if not k11 or not k22:
            return 1.0, 1.0
        return _reweight(sqrt(k11) + k12 / sqrt(k11), sqrt(k22) + k12 / sqrt(k22), alpha)

    return weigh


def _reweight(advance1: float, advance2: float, alpha: float) -> tuple[float, float]:
    """``r^alpha / mean(r^alpha)`` of two numbers, where nothing can overflow."""
    lean = tanh(alpha * log(advance1 / advance2) / 2)
    return 1 + lean, 1 - lean


def descend(slopes: Slopes, weigh: Weigh, start: Point, steps: int, every: int = 1, lr: float = 1e-3) -> list[Point]:
    """Adam, as torch computes it, on the weighted sum of the two gradients.

    Args:
        slopes: The problem.
        weigh: The method.
        start: The first point.
        steps: Updates.
        every: Updates between two points of the result.
        lr: Adam's rate; its betas are 0.9 and 0.999, its epsilon 1e-8.

    Returns:
        The start and every `every`-th point after it.
    """
    (a, b), path = start, [start]
    mean_a = mean_b = square_a = square_b = 0.0
    decay1 = decay2 = 1.0
    for step in range(1, steps + 1):
        a1, b1, a2, b2 = slopes(a, b)
        first, second = weigh(a1 * a1 + b1 * b1, a1 * a2 + b1 * b2, a2 * a2 + b2 * b2)
        slope_a, slope_b = first * a1 + second * a2, first * b1 + second * b2
        mean_a += 0.1 * (slope_a - mean_a)
        mean_b += 0.1 * (slope_b - mean_b)
        square_a = 0.999 * square_a + 0.001 * slope_a * slope_a
        square_b = 0.999 * square_b + 0.001 * slope_b * slope_b
        decay1, decay2 = 0.9 * decay1, 0.999 * decay2
        rate, root = lr / (1 - decay1), sqrt(1 - decay2)
        a -= rate * mean_a / (sqrt(square_a) / root + 1e-8)
        b -= rate * mean_b / (sqrt(square_b) / root + 1e-8)
        if step % every == 0:
            path.append((a, b))
    return path
