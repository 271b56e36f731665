"""DW: GradOPS' reweighting on unmodified gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from torch import Tensor

from gradops.base import GramianMethod, State, require_finite
from gradops.linalg import Array, inverse, norms, to_array, to_tensor


@dataclass(frozen=True, kw_only=True)
class DW(GramianMethod):
    r"""A sum of the task gradients, weighted by how far the plain sum already advances each task.

    With :math:`G = \sum_i g_i` and :math:`R_i = G \cdot g_i / \|g_i\|`, which may be negative,
    :math:`r_i = e^{R_i} / \mathrm{mean}(e^R)` and :math:`w_i = r_i^\alpha / \mathrm{mean}(r^\alpha)`. Since :math:`R`
    is a length, the weights depend on the gradients' scale: far below 1 they are uniform, far above 1 one task has all.

    Choose it as an ablation of GradOPS: the weights without the orthogonality.

    Args:
        alpha: Above 0 favours the dominating tasks, below 0 the dominated ones; 0 is uniform scaling. Any finite
            number.

    Raises:
        ValueError: If ``alpha`` is not finite.

    References:
        Zhu et al., GradOPS, WSDM 2025, section 4.5. A zero gradient has R = 0.

    Example:
        >>> import torch
        >>> DW(alpha=0.0).weights(torch.eye(2), torch.ones(2), {})[0]
        tensor([1., 1.], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant"})
    alpha: float = field(default=-1.0, metadata={"search": (-5.0, 3.0)})

    def __post_init__(self) -> None:
        require_finite("alpha", self.alpha)

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        known_TT = to_array(gram_TT)
        advance_T = known_TT.sum(0) * inverse(norms(known_TT))
        return to_tensor(exponential_share(self.alpha * advance_T), like=gram_TT), state


def exponential_share(power_T: Array) -> Array:
    """``exp(p) / mean(exp(p))``: T times a softmax, in which nothing overflows."""
    share_T: Array = np.exp(power_T - power_T.max())
    share_T *= len(share_T) / share_T.sum()
    return share_T
