r"""RotoGrad, version 1, appendix B: two regressions of one point that want it in two places.

A two-layer ReLU network with ten units maps one input, drawn once, to :math:`z \in R^2`; the losses are
:math:`f(R_1 z, 0) + f(R_2 z, 1)`, without heads.

- Convex: :math:`f(x, s) = (x_1 + (-1)^s)^2 + 25 x_2^2`, optima at (-1, 0) and (1, 0).
- Many minima: :math:`f(x, s) = h(x + (-1)^s (1.5, 1.5))` with :math:`h(x) = \sin(3x_1)/x_1 + \sin(3x_2)/x_2 + |x_1| +
  |x_2|`, least (1.531) at (1.34, 1.34) and its three mirror images.

SGD at 0.02 for the network, on the mean of the losses; RAdam at 0.5 (convex, 100 steps) or 0.1 (many minima, 400
steps) for the rotations, decay 0.99999. The network's start is torch's default, which the paper does not tell.

What holds: uniform scaling brings both tasks to one compromise, at no optimum of either, whatever the seed. With
version 1 and a leader that cooperates after 20 steps, both tasks are at an optimum of their own in ten of ten runs with
many minima, and in five of ten convex ones (six after 400 steps).

What does not, by our runs: without cooperation version 1 brings both to an optimum in two of ten runs of either
problem (with many minima it brings one there in the other eight), the ICLR form in one convex run and in three with
many minima. At a convex compromise the two gradients are opposite, their mean is zero, and a rotation that starts at
the identity has nothing to align with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.problems.rotograd import network, prepared
from gradops import MultiTaskOptimizer


@dataclass(frozen=True)
class Regression:
    """One of the two problems.

    Args:
        loss: ``f(x, 0)`` and ``f(x, 1)`` of a point for each task, T x 2, in float64.
        leader_lr: The leader's first rate.
        steps: Length of a run.
        least: The value of either loss at its own optimum.
    """

    loss: Callable[[Tensor], Tensor]
    leader_lr: float
    steps: int
    least: float


def convex(point_T2: Tensor) -> Tensor:
    """Both losses of the convex problem, each at its own point."""
    side_T = point_T2.new_tensor([1.0, -1.0])
    return (point_T2[:, 0] + side_T).square() + 25 * point_T2[:, 1].square()


def many_minima(point_T2: Tensor) -> Tensor:
    """Both losses of the problem with many minima, each at its own point."""
    moved_T2 = point_T2 + 1.5 * point_T2.new_tensor([[1.0], [-1.0]])
    # 3 sinc(3 x / pi) is sin(3 x) / x, and has its limit at 0.
    return (3 * torch.sinc(3 * moved_T2 / torch.pi) + moved_T2.abs()).sum(1)


CONVEX, MANY_MINIMA = Regression(convex, 0.5, 100, 0.0), Regression(many_minima, 0.1, 400, 1.5312)
COOPERATIVE = "rotograd_coop + rotation(cooperative_after=20)"


def run(problem: Regression, text: str, seed: int) -> tuple[Tensor, Tensor]:
    """One run of a method.

    Args:
        problem: The problem.
        text: The method's written form; its leader's rate and decay are set to the paper's.
        seed: Seed of the input, the network and the method.

    Returns:
        The points ``R_k z`` before every step and after the last, steps + 1 x T x 2, and their losses.
    """
    method, rotations = prepared(text, problem.leader_lr)
    generator = torch.Generator().manual_seed(seed)
    shared = network(generator)
    input_12 = torch.randn(1, 2, generator=generator, dtype=torch.float64)
    sgd = torch.optim.SGD(shared.parameters(), lr=0.02)
    optimizer = MultiTaskOptimizer(sgd, method, shared=shared.parameters(), rotations=rotations, seed=seed)
    points: list[Tensor] = []
    for step in range(problem.steps + 1):
        z = shared(input_12)
        views = [z.view_as(z), z.view_as(z)]
        point_T2 = torch.cat(views if rotations is None else rotations(views))
        points.append(point_T2.detach())
        if step < problem.steps:
            # The mean: the sum of the convex losses is too steep for a rate of 0.02, and uniform scaling diverges.
            optimizer.step(problem.loss(point_T2) / 2, features=views)
    path = torch.stack(points)
    return path, torch.stack([problem.loss(point_T2) for point_T2 in path])
