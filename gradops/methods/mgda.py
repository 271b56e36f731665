"""MGDA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.hull import min_norm_point
from gradops.linalg import to_array, to_tensor


@dataclass(frozen=True, kw_only=True)
class MGDA(GramianMethod):
    """The shortest vector in the convex hull of the task gradients: zero exactly at Pareto-stationary points.

    A zero gradient takes all the weight, since that task cannot be improved without hurting another. Measured at the
    features (``measure = "features"``) this is MGDA-UB.

    References:
        Désidéri, Multiple-gradient descent algorithm, 2012; Sener and Koltun, Multi-Task Learning as Multi-Objective
        Optimization, NeurIPS 2018, equation 3. Solved exactly by an active-set method instead of Frank-Wolfe.

    Example:
        >>> import torch
        >>> MGDA().weights(torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.ones(2), {})[0]
        tensor([0.7500, 0.2500], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset(
        {"never_conflicting", "permutation_invariant", "linear_under_scaling", "simplex"}
    )

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        return to_tensor(min_norm_point(to_array(gram_TT)), like=gram_TT), state
