"""PCGrad-DW: GradOPS' reweighting on PCGrad's gradients."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gradops.base import GramianMethod, State, generator_at, require_finite
from gradops.linalg import inverse, norms, to_array, to_tensor
from gradops.methods.dw import exponential_share
from gradops.methods.pcgrad import surgery


@dataclass(frozen=True, kw_only=True)
class PCGradDW(GramianMethod):
    r"""PCGrad's projected gradients, each weighted by how far their sum advances its task.

    With :math:`v_i` PCGrad's gradients, :math:`G' = \sum_i v_i` and :math:`R_i = G' \cdot g_i / \|g_i\|`, the update is
    :math:`\sum_i w_i v_i` with :math:`w` as in :class:`gradops.methods.dw.DW`.

    Choose it as an ablation of GradOPS: its weights on PCGrad's gradients.

    Args:
        alpha: Above 0 favours the dominating tasks, below 0 the dominated ones; 0 is PCGrad. Any finite number.

    Raises:
        ValueError: If ``alpha`` is not finite.

    References:
        Zhu et al., GradOPS, WSDM 2025, section 4.5.
    """

    alpha: float = field(default=-1.0, metadata={"search": (-5.0, 3.0)})

    def __post_init__(self) -> None:
        require_finite("alpha", self.alpha)

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """State with the generator's current position."""
        del num_tasks
        return {"generator": generator.get_state()}

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        known_TT, generator = to_array(gram_TT), generator_at(state["generator"])
        coefficients_TT = surgery(known_TT, generator)
        advance_T = (coefficients_TT @ known_TT).sum(0) * inverse(norms(known_TT))
        weights_T = exponential_share(self.alpha * advance_T) @ coefficients_TT
        return to_tensor(weights_T, like=gram_TT), {"generator": generator.get_state()}
