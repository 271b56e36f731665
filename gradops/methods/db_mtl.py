"""DB-MTL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.linalg import inverse, norms, to_array, to_tensor
from gradops.losses import LEAST_LOSS, known_losses


@dataclass(frozen=True, kw_only=True)
class DBMTL(GramianMethod):
    r"""Unit task gradients, at the length of the longest gradient of a loss's logarithm.

    With :math:`\hat g_i = g_i / L_i` the gradient of :math:`\log L_i`, the update is :math:`\max_j \|\hat g_j\| \sum_i
    \hat g_i / \|\hat g_i\|`, so that :math:`\lambda_i = \max_j (\|g_j\| / L_j) / \|g_i\|`. Losses decide the common
    length alone. A zero gradient has weight 0; a vanishing one is stretched like the others (see ``+ bound``).

    Choose it where neither the size of a loss nor the length of a gradient should count.

    Raises:
        ValueError: If a loss is negative.

    References:
        Lin et al., Dual-Balancing for Multi-Task Learning, arXiv 2308.12029, 2023, without the moving
        average of the gradients themselves (:math:`\beta = 0`; the authors' default is 0.9): it needs T copies of
        everything shared, tables included. ``+ smooth`` averages the weights instead. A loss below 1e-8 counts as 1e-8.
        Towers get the plain gradients of their own losses, not those of the logarithms.

    Example:
        >>> import torch
        >>> DBMTL().weights(torch.tensor([[1.0, 0.0], [0.0, 9.0]]), torch.tensor([0.5, 2.0]), {})[0]
        tensor([2.0000, 0.6667], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant"})
    reads_losses: ClassVar[bool] = True

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        loss_T, known_T = known_losses(losses_T)
        length_T = norms(to_array(gram_TT)) * known_T
        common = (length_T / np.maximum(loss_T, LEAST_LOSS)).max()
        return to_tensor(common * inverse(length_T), like=gram_TT), state
