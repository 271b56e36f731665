"""GradCraft."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.cone import LARGEST, solve_within
from gradops.linalg import Array, Mask, cosines, inverse, norms, pseudo_inverse, to_array, to_tensor


@dataclass(frozen=True, kw_only=True)
class GradCraft(GramianMethod):
    r"""Task gradients brought towards one length, and then freed of conflict with all they conflict with at once.

    1. With :math:`m_i` the moving average of :math:`\|g_i\|`, :math:`g'_i = (\tau \max_j m_j / m_i + 1 - \tau)\, g_i`.
    2. With :math:`N_i` the tasks in conflict with :math:`i`, :math:`g''_i = g'_i + \sum_{j \in N_i} u_j g'_j` such that
       its cosine-like product :math:`g''_i \cdot g'_j / (\|g'_i\| \|g'_j\|)` is :math:`\epsilon` for every :math:`j`
       in :math:`N_i`.
    3. The update is :math:`\sum_i g''_i`.

    It differs from GradOPS in three things: the balancing, the smaller span (of the tasks in conflict, not of all
    others), and :math:`\epsilon`. A conflict with a task outside :math:`N_i` may arise.

    Choose it over GradOPS for more than two tasks of which few pairs conflict, or whose gradients differ in length.

    Args:
        tau: How far lengths are made equal. In [0, 1].
        epsilon: What is asked of a conflicting pair in the end, at least 0; the paper searches 0 and 1e-10 to 1e-8.
        beta: Share of the moving average of lengths that stays. In [0, 1); 0 takes the step's lengths.

    Raises:
        ValueError: If an option is outside its range.

    References:
        Bai et al., GradCraft: Elevating Multi-task Recommendations through Holistic Gradient Crafting, KDD 2024;
        ``beta = 0`` is the authors' code. The update is T times theirs, a sum. Where conflicting
        gradients depend on each other, a pseudo-inverse stands for the inverse that does not exist, and the product
        comes as near to :math:`\epsilon` as it can. A zero gradient has weight 0.

    Example:
        >>> method = GradCraft(tau=0.0)
        >>> state = method.init(2, torch.Generator())
        >>> method.weights(torch.tensor([[1.0, -0.5], [-0.5, 1.0]]), torch.ones(2), state)[0]
        tensor([1.5000, 1.5000], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling"})
    tau: float = field(default=1.0, metadata={"search": (0.0, 1.0)})
    epsilon: float = 0.0
    beta: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.tau <= 1.0:
            raise ValueError(f"`tau` should be in [0, 1]. Found `tau = {self.tau}`.")
        if not 0.0 <= self.epsilon < 1.0:
            raise ValueError(f"`epsilon` should be in [0, 1). Found `epsilon = {self.epsilon}`.")
        if not 0.0 <= self.beta < 1.0:
            raise ValueError(f"`beta` should be in [0, 1). Found `beta = {self.beta}`.")

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """Moving averages of the lengths at 0; their common factor does not count."""
        del generator
        return {"length": torch.zeros(num_tasks, dtype=torch.float64)}

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        known_TT = to_array(gram_TT)
        length_T = norms(known_TT)
        average_T = self.beta * to_array(state["length"]) + (1 - self.beta) * length_T
        balanced_T = length_T * (self.tau * average_T.max() * inverse(average_T) + 1 - self.tau)
        weights_T = balanced_T @ self._crafted(cosines(known_TT)) * inverse(length_T)
        return to_tensor(weights_T, like=gram_TT), {"length": torch.from_numpy(average_T)}

    def _crafted(self, cosine_TT: Array) -> Array:
        """Unit gradients freed of conflict, as coefficients of the unit gradients: row i holds those of i's."""
        coefficients_TT, conflicts_TT = np.eye(len(cosine_TT)), cosine_TT < 0
        rows = np.flatnonzero(conflicts_TT.any(axis=1))
        if len(rows):
            coefficients_TT[rows] += _added(cosine_TT, conflicts_TT[rows], self.epsilon - cosine_TT[rows])
        return coefficients_TT


def _added(cosine_TT: Array, facing_NT: Mask, wanted_NT: Array) -> Array:
    """Coefficients of the conflicting unit gradients that change the products with them by what is wanted."""
    solution_NT = solve_within(cosine_TT, facing_NT, wanted_NT)
    if solution_NT is not None and np.abs(solution_NT).max() < LARGEST:
        return solution_NT
    mask_NTT = facing_NT[:, :, None] & facing_NT[:, None, :]
    inverse_NTT = pseudo_inverse(np.where(mask_NTT, cosine_TT, np.eye(len(cosine_TT))))
    added_NT: Array = (inverse_NTT @ np.where(facing_NT, wanted_NT, 0.0)[:, :, None])[:, :, 0]
    return added_NT
