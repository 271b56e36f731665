"""IMTL-G."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.linalg import Array, cosines, inverse, norms, pseudo_inverse, to_array, to_tensor

Length = Literal["weights", "sum"]

# Products that should be 1 and are below this come from gradients that cancel out: there is no direction.
_LEAST = 1e-6


@dataclass(frozen=True, kw_only=True)
class IMTLG(GramianMethod):
    r"""The combination whose projection onto every task gradient is equally long.

    Weights with :math:`\sum_i \lambda_i = 1`, of either sign, such that :math:`d = \sum_i \lambda_i g_i` has
    :math:`d \cdot g_i / \|g_i\|` the same for all :math:`i`.

    With ``length="sum"`` it is ConFIG: the same direction, and the length that all task gradients together have along
    it, :math:`\sum_i g_i \cdot d / \|d\|`, which is above 0 wherever the gradients are independent: then no update
    conflicts with a task, which weights of sum 1 do not promise.

    Choose it where no task may dominate; a weight can be negative.

    Args:
        length: ``"weights"`` for weights of sum 1, as in IMTL; ``"sum"`` for ConFIG's length.

    Raises:
        ValueError: If ``length`` is neither.

    References:
        Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, equation 6. Instead of its inverse of
        :math:`D U^\top`, which opposite or equal gradients make singular, the conditions themselves are solved, with
        the common projection as one more unknown, by a pseudo-inverse; where the inverse exists both agree. A zero
        gradient has no direction to be projected on: it gets weight 0. TorchJD's applies the pseudo-inverse
        of the Gram matrix to the lengths. The two differ where gradients are dependent and no combination projects
        equally: between opposite gradients this method stands still, TorchJD's climbs along the longer one.
        ``"sum"``: Liu et al., ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks, arXiv
        2408.11104, 2024, equation 2, with its pseudo-inverse of the unit gradients.

    Example:
        >>> import torch
        >>> IMTLG().weights(torch.tensor([[1.0, 0.0], [0.0, 9.0]]), torch.ones(2), {})[0]
        tensor([0.7500, 0.2500], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling"})

    length: Length = "weights"

    def __post_init__(self) -> None:
        if self.length not in get_args(Length):
            raise ValueError(f"`length` should be one of {', '.join(get_args(Length))}. Found `{self.length}`.")

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        known_TT = to_array(gram_TT)
        weights_T = _equal_projections(known_TT) if self.length == "weights" else _config(known_TT)
        return to_tensor(weights_T, like=gram_TT), state


def _config(gram_TT: Array) -> Array:
    """Weights of the direction with cosine products of 1, nearly so where gradients depend, at ConFIG's length."""
    length_T = norms(gram_TT)
    unit_T = pseudo_inverse(cosines(gram_TT)) @ (length_T > 0).astype(np.float64)
    # Products with unit gradients, whose lengths differ by many orders of magnitude less than the gradients' own.
    product_T = cosines(gram_TT) @ unit_T
    if np.abs(product_T).max() < _LEAST:
        return np.zeros_like(unit_T)
    weights_T: Array = unit_T * inverse(length_T) * (length_T @ product_T) / (unit_T @ product_T)
    return weights_T


def _equal_projections(gram_TT: Array) -> Array:
    tasks, length_T = len(gram_TT), norms(gram_TT)
    directed_T = length_T > 0
    if not directed_T.any():
        return np.full(tasks, 1 / tasks)
    # Unknowns: the weights of the unit gradients, mu_i = lambda_i |g_i|, and the common projection. The lengths are
    # scaled by the shortest, so that the row of sum(lambda) = 1 is of the size of the others.
    share_T = length_T[directed_T].min() * inverse(length_T)
    system = np.zeros((tasks + 1, tasks + 1))
    system[:tasks, :tasks] = cosines(gram_TT)
    system[:tasks, tasks] = -1.0 * directed_T
    system[tasks, :tasks] = share_T
    # The right-hand side is 0, except for a 1 in the last row.
    weights_T: Array = pseudo_inverse(system)[:tasks, tasks] * share_T
    return weights_T
