"""GradOPS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from torch import Tensor

from gradops.base import GramianMethod, State, require_finite
from gradops.hull import min_norm_point
from gradops.linalg import (
    VANISHING,
    VANISHING_FLOAT32,
    Array,
    Mask,
    inverse,
    norms,
    span_coefficients,
    to_array,
    to_tensor,
)
from gradops.methods.dw import exponential_share

# Far below any length; its logarithm is finite.
_LEAST = 1e-300
# The rounding error of a sum of float64 products, as a share of the longest.
_ROUNDING = 4e-15


@dataclass(frozen=True, kw_only=True)
class GradOPS(GramianMethod):
    r"""Task gradients made orthogonal to the span of the others, then reweighted by how far each task already advances.

    1. A task with a negative product with any other gives up its projection onto the span of all the others:
       :math:`g'_i = g_i - \mathrm{Proj}_{\mathrm{span}\{g_j, j \ne i\}}\, g_i`; a task without conflict keeps
       :math:`g_i`.
    2. With :math:`G' = \sum_i g'_i`, :math:`R_i = G' \cdot g_i / \|g_i\| \ge 0` and
       :math:`r_i = R_i / \mathrm{mean}(R)`, the update is :math:`\sum_i w_i g'_i` with
       :math:`w_i = r_i^\alpha / \mathrm{mean}(r^\alpha)`.

    No update conflicts with any task, whatever the order of the tasks and the value of :math:`\alpha`.

    Choose it to move along the trade-off by one number without ever stepping against a task.

    Args:
        alpha: 0 keeps the plain sum of the :math:`g'_i`; above 0 favours the tasks that dominate (:math:`r_i > 1`),
            below 0 the dominated ones. Any finite number; the paper's go from -10 to 5.

    Raises:
        ValueError: If ``alpha`` is not finite.

    References:
        Zhu et al., GradOPS, WSDM 2025, algorithm 1. Cases that the paper leaves open: (a) :math:`R_i = 0` happens only
        if :math:`g'_i = 0` (then every :math:`g'_j` is orthogonal to :math:`g_i`), so such a task has nothing to
        weigh: it is left out of both means and keeps weight 1, as at :math:`\alpha = 0`; a zero gradient likewise;
        (b) if every :math:`g'_i` vanishes, the MGDA direction of the non-zero gradients, as the paper says.

    Example:
        >>> import torch
        >>> gram_TT = torch.tensor([[1.0, -0.5], [-0.5, 1.0]])
        >>> GradOPS(alpha=-2.0).weights(gram_TT, torch.ones(2), {})[0]
        tensor([1.5000, 1.5000], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"never_conflicting", "permutation_invariant", "linear_under_scaling"})
    alpha: float = field(default=0.0, metadata={"search": (-10.0, 5.0)})

    def __post_init__(self) -> None:
        require_finite("alpha", self.alpha)

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        return to_tensor(self._weights(to_array(gram_TT)), like=gram_TT), state

    def _weights(self, gram_TT: Array) -> Array:
        conflicts_T = gram_TT.min(axis=1) < 0
        coefficients_TT = orthogonalise(gram_TT, conflicts_T)
        product_TT = coefficients_TT @ gram_TT
        # |g'_i|^2 equals g'_i . g_i, but its error is of second order in the coefficients' errors, not of first.
        squared_T = np.maximum((product_TT * coefficients_TT).sum(1), 0.0)
        alive_T = _alive(gram_TT, coefficients_TT, squared_T)
        if not alive_T.any():
            return _stationary(gram_TT)
        # A projected gradient is orthogonal to every other one: anything else is rounding error, and would be summed.
        product_TT = np.where(conflicts_T[:, None], np.diag(squared_T), product_TT)
        advance_T = product_TT.sum(0) * inverse(norms(gram_TT))
        return reweight(advance_T, alive_T, self.alpha) @ coefficients_TT


def orthogonalise(gram_TT: Array, conflicts_T: Mask) -> Array:
    """The modified gradients as coefficients of the original ones: row i holds those of g'_i."""
    identity_TT = np.eye(len(gram_TT))
    if not conflicts_T.any():
        return identity_TT
    return identity_TT - np.where(conflicts_T[:, None], span_coefficients(gram_TT), 0.0)


def reweight(advance_T: Array, alive_T: Mask, alpha: float) -> Array:
    """``r^alpha / mean(r^alpha)`` over the living tasks, 1 for the others; computed in logarithms to avoid overflow."""
    weights_T = np.ones_like(advance_T)
    weights_T[alive_T] = exponential_share(alpha * np.log(np.maximum(advance_T[alive_T], _LEAST)))
    return weights_T


def _alive(gram_TT: Array, coefficients_TT: Array, squared_T: Array) -> Mask:
    """The tasks with a gradient left: beyond float32 rounding if any is, otherwise beyond float64 rounding."""
    original_T = gram_TT.diagonal()
    # Nearly parallel gradients have large coefficients, which magnify the Gram matrix's rounding errors.
    rounding_T = _ROUNDING * (np.abs(coefficients_TT) @ norms(gram_TT)) ** 2
    clear_T = squared_T > np.maximum(VANISHING_FLOAT32 * original_T, rounding_T)
    return clear_T if clear_T.any() else squared_T > np.maximum(VANISHING * original_T, rounding_T)


def _stationary(gram_TT: Array) -> Array:
    """The MGDA weights of the non-zero gradients; all zero if there is none."""
    place = (gram_TT.diagonal() > 0).nonzero()[0]
    weights_T = np.zeros(len(gram_TT))
    if len(place):
        weights_T[place] = min_norm_point(gram_TT[place[:, None], place])
    return weights_T
