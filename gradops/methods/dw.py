"""DW: GradOPS' reweighting on unmodified gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from gradops.base import GramianMethod, State, require_finite
from gradops.linalg import inverse, norms


@dataclass(frozen=True, kw_only=True)
class DW(GramianMethod):
    r"""A weighted sum of the task gradients, weighted by how far the plain sum already advances each task.

    With :math:`G = \sum_i g_i` and :math:`R_i = G \cdot g_i / \|g_i\|`, which may be negative,
    :math:`r_i = e^{R_i} / \mathrm{mean}(e^R)` and :math:`w_i = r_i^\alpha / \mathrm{mean}(r^\alpha)`. Since :math:`R`
    is a length, the weights depend on the gradients' scale: far below 1 they are uniform, far above all on one task.

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
        gram_TT = gram_TT.double()
        return exponential_share(gram_TT.sum(0) * inverse(norms(gram_TT)), self.alpha), state


def exponential_share(advance_T: Tensor, alpha: float) -> Tensor:
    """``r^alpha / mean(r^alpha)`` with ``r = exp(R) / mean(exp(R))``: T times a softmax, so nothing overflows."""
    return (alpha * advance_T).softmax(0) * len(advance_T)
