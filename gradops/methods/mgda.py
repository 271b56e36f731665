"""MGDA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.hull import min_norm_point
from gradops.linalg import Array, norms, to_array, to_tensor

Normalise = Literal["none", "l2", "loss", "loss+"]

# A smaller normaliser is replaced by 1: its inverse's square would exceed float64.
_LEAST = 1e-100


@dataclass(frozen=True, kw_only=True)
class MGDA(GramianMethod):
    r"""The shortest vector in the convex hull of the task gradients: zero exactly at Pareto-stationary points.

    A zero gradient takes all the weight, since that task cannot be improved without hurting another.

    With a normaliser :math:`s_i` it is the shortest vector :math:`\sum_i w_i g_i / s_i` of the normalised gradients,
    written in the given ones and scaled so that the weights sum to 1: :math:`\lambda_i = (w_i / s_i) / \sum_j w_j /
    s_j`. Without one the update leans towards short gradients; ``"l2"`` counts directions alone.

    Choose it where no task may ever lose and slow progress is acceptable.

    Args:
        normalise: :math:`s_i`: 1 for ``"none"``, :math:`\|g_i\|` for ``"l2"``, :math:`L_i` for ``"loss"``,
            :math:`L_i \|g_i\|` for ``"loss+"``. A negative or tiny one (below 1e-100) is replaced by 1.

    Raises:
        ValueError: If ``normalise`` is none of the four.

    References:
        Désidéri, Multiple-gradient descent algorithm, 2012; Sener and Koltun, Multi-Task Learning as Multi-Objective
        Optimization, NeurIPS 2018, equation 3. The problem is solved exactly by an active-set method instead of
        Frank-Wolfe: TorchJD's 100 steps end a tenth of the update's length away at T = 8. The normalisers are those of
        the authors' released code, which applies :math:`w` to the given gradients, so that its update may conflict
        with a task; the update here is a positive multiple of the shortest vector and cannot conflict.

    Example:
        >>> import torch
        >>> MGDA().weights(torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.ones(2), {})[0]
        tensor([0.7500, 0.2500], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset(
        {"never_conflicting", "permutation_invariant", "linear_under_scaling", "simplex"}
    )
    reads_losses: ClassVar[bool] = True
    normalise: Normalise = "none"

    def __post_init__(self) -> None:
        if self.normalise not in get_args(Normalise):
            listed = ", ".join(get_args(Normalise))
            raise ValueError(f"`normalise` should be one of {listed}. Found `normalise = {self.normalise}`.")

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        known_TT = to_array(gram_TT)
        if self.normalise == "none":
            return to_tensor(min_norm_point(known_TT), like=gram_TT), state
        inverse_T = 1 / self._normaliser(known_TT, to_array(losses_T))
        weights_T = min_norm_point(known_TT * inverse_T * inverse_T[:, None]) * inverse_T
        return to_tensor(weights_T / weights_T.sum(), like=gram_TT), state

    def _normaliser(self, gram_TT: Array, losses_T: Array) -> Array:
        length_T = norms(gram_TT)
        size_T = {"l2": length_T, "loss": losses_T, "loss+": losses_T * length_T}[self.normalise]
        return np.where(size_T > _LEAST, size_T, 1.0)
