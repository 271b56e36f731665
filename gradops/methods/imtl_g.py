"""IMTL-G."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.linalg import VANISHING, cosines, inverse, norms


@dataclass(frozen=True, kw_only=True)
class IMTLG(GramianMethod):
    r"""The combination whose projection onto every task gradient is equally long.

    Weights with :math:`\sum_i \lambda_i = 1`, of either sign, such that :math:`d = \sum_i \lambda_i g_i` has
    :math:`d \cdot g_i / \|g_i\|` the same for all :math:`i`.

    References:
        Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, equation 6. Instead of its inverse of
        :math:`D U^\top`, which opposite or equal gradients make singular, the conditions themselves are solved, with
        the common projection as one more unknown, by a pseudo-inverse; where the inverse exists both agree. A zero
        gradient has no direction to be projected on: it gets weight 0.

    Example:
        >>> IMTLG().weights(torch.tensor([[1.0, 0.0], [0.0, 9.0]]), torch.ones(2), {})[0]
        tensor([0.7500, 0.2500], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling"})

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        length_T = norms(gram_TT)
        if not (length_T > 0).any():
            return torch.full_like(length_T, 1 / len(length_T)), state
        # Unknowns: the weights of the unit gradients, mu_i = lambda_i |g_i|, and the common projection. The lengths are
        # scaled by the shortest, so that the row of sum(lambda) = 1 is of the size of the others.
        shortest = length_T[length_T > 0].min()
        share_T = shortest * inverse(length_T)
        system = torch.cat([cosines(gram_TT), -(length_T > 0).double()[:, None]], dim=1)
        system = torch.cat([system, torch.cat([share_T, share_T.new_zeros(1)])[None]])
        target = torch.zeros_like(system[0])
        target[-1] = 1.0
        unit_T = (torch.linalg.pinv(system, rtol=VANISHING) @ target)[:-1]
        return unit_T * share_T, state
