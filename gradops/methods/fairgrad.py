"""FairGrad, and Nash-MTL as one of its cases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.linalg import Array, combined_norm, cosines, norms, to_array, to_tensor

# Added to the cosine matrix's diagonal, so that opposite gradients have a solution: then a zero update.
_REGULAR = 1e-12
_MOST_STEPS = 300
# From the first on a step that gains nothing is rounding; at the second there are no more digits.
_NEAR, _PRECISION = 1e-6, 1e-12
# Exponents that are further from their mean, as a share of 1 / alpha and at most, would leave float64.
_WIDEST, _MOST = 300.0, 250.0


@dataclass(frozen=True, kw_only=True)
class FairGrad(GramianMethod):
    r"""The update whose gains are shared fairly among the tasks, in the sense of alpha-fairness.

    The weights solve :math:`(K \lambda)_i = \lambda_i^{-1/\alpha}`, :math:`\lambda > 0`: task :math:`i` gains
    :math:`d \cdot g_i = \lambda_i^{-1/\alpha} > 0`, so no update conflicts with a task. Towards :math:`\alpha = 0` it
    is uniform scaling, :math:`\alpha = 1` is Nash-MTL (the bargaining solution, blind to the lengths of gradients), and
    towards infinity the smallest gain is made as large as it can be.

    All gradients times :math:`s` give an update times :math:`s^{(1 - \alpha) / (1 + \alpha)}`. At :math:`\alpha = 1`
    its length is :math:`\sqrt T` at every step, also near the end of training, so that a plain SGD needs ``max_norm``
    or a falling learning rate; Adam does not notice.

    Choose it where every task should gain at every step and one number should say how evenly.

    Args:
        alpha: Fairness. In [0.1, 10].
        max_norm: Largest length of the update, which is otherwise shortened to it; 0 for none. Nash-MTL's authors take
            1.

    Raises:
        ValueError: If an option is outside its range.

    References:
        Ban and Ji, Fair Resource Allocation in Multi-Task Learning, ICML 2024, equation 4 and algorithm 1; Navon et
        al., Multi-Task Learning as a Bargaining Game, ICML 2022, claim 3.1 and algorithm 1 for :math:`\alpha = 1`. The
        equation is the stationarity of a strictly convex function, solved to rounding by Newton's method, where the
        authors stop a least-squares solver or 20 steps of a convex relaxation. A zero gradient, which can gain nothing,
        gets weight 0. Opposite gradients, for which no solution exists, get a zero update. The towers get the plain
        gradients of their own losses; LibMTL weighs those too.

    Example:
        >>> import torch
        >>> FairGrad(alpha=1.0).weights(torch.tensor([[4.0, 0.0], [0.0, 0.25]]), torch.ones(2), {})[0]
        tensor([0.5000, 2.0000], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"never_conflicting", "permutation_invariant"})
    alpha: float = field(default=1.0, metadata={"search": (0.2, 5.0)})
    max_norm: float = 0.0

    def __post_init__(self) -> None:
        if not 0.1 <= self.alpha <= 10:
            raise ValueError(f"`alpha` should be in [0.1, 10]. Found `alpha = {self.alpha}`.")
        if not 0.0 <= self.max_norm < float("inf"):
            raise ValueError(f"`max_norm` should be a finite number of at least 0. Found `{self.max_norm}`.")

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        known_TT = to_array(gram_TT)
        weights_T = self._weights(known_TT)
        length = combined_norm(known_TT, weights_T) if self.max_norm else 0.0
        if length > self.max_norm:
            weights_T = weights_T * (self.max_norm / length)
        return to_tensor(weights_T, like=gram_TT), state

    def _weights(self, gram_TT: Array) -> Array:
        weights_T, length_T = np.zeros(len(gram_TT)), norms(gram_TT)
        place = (length_T > 0).nonzero()[0]
        if len(place):
            # For unit gradients and u = w |g|: (C u)_i = |g_i|^(1/alpha - 1) u_i^(-1/alpha). The gradients' mean length
            # m, in logarithms, is a common factor m^((1 - alpha) / (1 + alpha)) of u.
            log_T = np.log(length_T[place])
            widest = min(_WIDEST / self.alpha, _MOST)
            spread_T = np.clip((1 / self.alpha - 1) * (log_T - log_T.mean()), -widest, widest)
            unit_T = _balanced(cosines(gram_TT)[place[:, None], place], np.exp(spread_T), 1 / self.alpha)
            common = log_T.mean() * (1 - self.alpha) / (1 + self.alpha)
            weights_T[place] = unit_T * np.exp(common - log_T)
        return weights_T


def _balanced(cosine_TT: Array, share_T: Array, power: float) -> Array:
    """The positive solution of ``(C u)_i = share_i u_i^-power``, by Newton's method on a convex function."""
    matrix_TT = cosine_TT + _REGULAR * np.eye(len(cosine_TT))
    solution_T = share_T ** (1 / (1 + power))  # right for orthogonal gradients
    before = np.inf
    for _ in range(_MOST_STEPS):
        gain_T = share_T * solution_T**-power
        slope_T = matrix_TT @ solution_T - gain_T
        curve_TT = matrix_TT.copy()
        curve_TT.flat[:: len(curve_TT) + 1] += power * gain_T / solution_T
        scale_T = 1 / np.sqrt(curve_TT.diagonal())
        step_T = -scale_T * np.linalg.solve(curve_TT * scale_T * scale_T[:, None], scale_T * slope_T)
        slope = float(slope_T @ step_T)
        # Each equation counts: a task of tiny weight hardly changes the function, and may still conflict with the rest.
        miss = float((np.abs(slope_T) / (np.abs(matrix_TT) @ solution_T + gain_T)).max())
        if not slope < 0 or before <= miss < _NEAR:
            break  # the rest is rounding
        solution_T = np.add(solution_T, _damped(matrix_TT, share_T, power, solution_T, step_T, slope) * step_T)
        if miss < _PRECISION:
            break
        before = miss
    return solution_T


def _damped(matrix_TT: Array, share_T: Array, power: float, at_T: Array, step_T: Array, slope: float) -> float:
    """The part of Newton's step that stays positive and does not climb again as steeply as it began to fall."""
    part = min(1.0, 0.999 / max(float((-step_T / at_T).max()), 1e-300))
    for _ in range(60):
        reached_T = at_T + part * step_T
        if step_T @ (matrix_TT @ reached_T - share_T * reached_T**-power) <= -0.9 * slope:
            break
        part /= 2
    return part
