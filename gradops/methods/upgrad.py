"""UPGrad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.cone import project
from gradops.linalg import to_array, to_tensor


@dataclass(frozen=True, kw_only=True)
class UPGrad(GramianMethod):
    r"""Sum of task gradients, each replaced by the nearest vector that conflicts with no task.

    The update is :math:`\sum_i \pi(g_i)` with :math:`\pi(g) = \arg\min_d \|d - g\|` over all :math:`d` with
    :math:`d \cdot g_j \ge 0` for every :math:`j`. A sum of such vectors conflicts with no task either, and a task's
    gradient times :math:`s` is worth :math:`s` times as much. For two tasks it is PCGrad.

    Choose it where no step may hurt a task and a longer gradient should count for more.

    References:
        Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, arXiv 2406.16232, 2024, equation 3 and its
        aggregator UPGrad.
        The update is T times theirs, a sum instead of a mean, so that tasks without conflict give uniform scaling. Each
        of the T problems is solved exactly; TorchJD's first adds 1e-4 of the trace to the Gram matrix's diagonal, for
        its general solver.

    Example:
        >>> import torch
        >>> gram_TT = torch.tensor([[1.0, -0.5], [-0.5, 1.0]])
        >>> UPGrad().weights(gram_TT, torch.ones(2), {})[0]
        tensor([1.5000, 1.5000], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"never_conflicting", "permutation_invariant", "linear_under_scaling"})

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        return to_tensor(project(to_array(gram_TT), np.eye(len(gram_TT))).sum(axis=0), like=gram_TT), state
