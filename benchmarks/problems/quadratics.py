r"""Convex quadratics: how long a step may be so that the total loss never rises.

With total loss L, total gradient G that is L-Lipschitz and update ``theta - t d``, the descent lemma gives
``L(theta - t d) <= L(theta) - t G.d + t^2 L |d|^2 / 2``: no rise for ``t <= 2 G.d / (L |d|^2)``.

**PCGrad, theorem 1** (quoted): two convex tasks, ``t <= 1 / L``: it converges to the optimum of the total loss or to a
point where the cosine of the two gradients is -1.

**GradOPS, theorems 1 and 2** (the reweighted update). We do not have their printed constants at hand; this one is
derived, for every alpha: ``t <= 2 / (T L)``. Let C be the tasks in conflict, N the others, w the weights, of sum T.

- A projected :math:`g'_i` is orthogonal to every other gradient, so :math:`G \cdot g'_i = \|g'_i\|^2`, and by Cauchy
  and Schwarz :math:`\|\sum_C w_i g'_i\|^2 \le (\sum_C w_i) \sum_C w_i \|g'_i\|^2 \le T \sum_C w_i\, G \cdot g'_i`.
- A gradient without conflict has a non-negative product with every other, so
  :math:`\|\sum_N w_i g_i\|^2 \le \max(w) \sum_N w_i\, g_i \cdot \sum_N g_j \le T \sum_N w_i\, G \cdot g_i`.
- The two parts are orthogonal, so :math:`\|d\|^2 \le T\, G \cdot d`. (The MGDA direction, which GradOPS takes where
  every :math:`g'_i` vanishes, has :math:`G \cdot d \ge T \|d\|^2`.)

For two tasks this is PCGrad's ``1 / L``. It is tight for every T and alpha, as :meth:`Quadratics.star` shows: a step
that does not shrink with the number of tasks is not safe, and ``1 / L`` fails from three tasks on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gradops.base import GramianMethod
from gradops.linalg import gramian


@dataclass(frozen=True)
class Quadratics:
    """T convex losses ``(theta - c_i)' H_i (theta - c_i) / 2``.

    Args:
        hessian_TPP: Symmetric, positive semi-definite.
        centre_TP: Where each loss is 0.
    """

    hessian_TPP: Tensor
    centre_TP: Tensor

    @classmethod
    def draw(cls, tasks: int, parameters: int, generator: torch.Generator) -> Quadratics:
        """Random curvatures, of any rank, over three orders of magnitude; random centres."""
        factor_TPP = torch.randn(tasks, parameters, parameters, generator=generator, dtype=torch.float64)
        scale_TP = 10 ** (-3 * torch.rand(tasks, parameters, generator=generator, dtype=torch.float64))
        kept_TP = torch.rand(tasks, parameters, generator=generator) < 0.8
        hessian_TPP = (factor_TPP * (scale_TP * kept_TP)[:, None]) @ factor_TPP.mT
        return cls(hessian_TPP, torch.randn(tasks, parameters, generator=generator, dtype=torch.float64))

    @classmethod
    def star(cls, tasks: int, height: float = 1e-3) -> Quadratics:
        """Unit curvatures; at the origin the gradients nearly cancel, and their projections are parallel.

        The centres are the corners of a regular simplex around a point a little above the origin.
        """
        corner_TT = torch.eye(tasks, dtype=torch.float64) - 1 / tasks
        centre_TP = torch.cat([corner_TT, torch.full((tasks, 1), height, dtype=torch.float64)], dim=1)
        return cls(torch.eye(tasks + 1, dtype=torch.float64).expand(tasks, -1, -1), centre_TP)

    @property
    def lipschitz(self) -> float:
        """L: the largest curvature of the total loss."""
        return float(torch.linalg.eigvalsh(self.hessian_TPP.sum(0)).max())

    def losses(self, point_P: Tensor) -> Tensor:
        """Loss of each task."""
        return (self.gradients(point_P) * (point_P - self.centre_TP)).sum(1) / 2

    def gradients(self, point_P: Tensor) -> Tensor:
        """Gradient of each task, T x P."""
        return torch.einsum("tpq,tq->tp", self.hessian_TPP, point_P - self.centre_TP)


def safe_step(problem: Quadratics) -> float:
    """``2 / (T L)``, the longest constant step that raises the total loss of no problem."""
    return 2 / (len(problem.centre_TP) * problem.lipschitz)


def run(problem: Quadratics, method: GramianMethod, step: float, updates: int) -> Tensor:
    """Descent with a constant step from the origin: the point before every update and after the last, S x P."""
    path = [torch.zeros_like(problem.centre_TP[0])]
    state = method.init(len(problem.centre_TP), torch.Generator().manual_seed(0))
    for _ in range(updates):
        jac_TP = problem.gradients(path[-1])
        weights_T, state = method.weights(gramian(jac_TP), problem.losses(path[-1]), state)
        path.append(path[-1] - step * (weights_T @ jac_TP))
    return torch.stack(path)
