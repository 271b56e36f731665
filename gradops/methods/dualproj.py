"""DualProj."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.cone import project
from gradops.linalg import to_array, to_tensor


@dataclass(frozen=True, kw_only=True)
class DualProj(GramianMethod):
    r"""The nearest vector to the sum of the task gradients that conflicts with no task.

    The update is :math:`\arg\min_d \|d - \sum_i g_i\|` over all :math:`d` with :math:`d \cdot g_j \ge 0` for every
    :math:`j`: uniform scaling wherever that hurts no task.

    Choose it over ``upgrad`` where as little as possible of uniform scaling should change: a long gradient may then
    decide the update alone.

    References:
        Lopez-Paz and Ranzato, Gradient Episodic Memory, NeurIPS 2017, its quadratic program for the sum of the tasks'
        gradients in place of the gradient of the last task, as in TorchJD. The update is T times TorchJD's, and the
        problem is solved exactly; theirs first adds 1e-4 of the trace to the Gram matrix's diagonal.

    Example:
        >>> import torch
        >>> gram_TT = torch.tensor([[1.0, -2.0], [-2.0, 8.0]])
        >>> DualProj().weights(gram_TT, torch.ones(2), {})[0]
        tensor([2., 1.], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"never_conflicting", "permutation_invariant", "linear_under_scaling"})

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        return to_tensor(project(to_array(gram_TT), np.ones((1, len(gram_TT))))[0], like=gram_TT), state
