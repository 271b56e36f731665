"""GradVac."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gradops.base import GramianMethod, State, generator_at
from gradops.linalg import Array, cosines, inverse, norms, to_array, to_tensor
from gradops.methods.pcgrad import random_orders

# The formula has its pole at a target of 1.
_MOST = 1 - 1e-6


@dataclass(frozen=True, kw_only=True)
class GradVac(GramianMethod):
    r"""Like PCGrad, but towards the similarity each pair of tasks has shown so far instead of towards zero.

    For each task :math:`i`, in a fresh random order of :math:`j \ne i`, with :math:`\phi` the cosine of :math:`v_i` and
    :math:`g_j` and :math:`\hat\phi_{ij}` the pair's target: where :math:`\phi < \hat\phi_{ij}`,

    .. math:: v_i \leftarrow v_i + \frac{\|v_i\| (\hat\phi_{ij} \sqrt{1 - \phi^2} - \phi \sqrt{1 - \hat\phi_{ij}^2})}
        {\|g_j\| \sqrt{1 - \hat\phi_{ij}^2}}\, g_j,

    and then :math:`\hat\phi_{ij} \leftarrow (1 - \beta) \hat\phi_{ij} + \beta \phi`. Targets start at 0, so the first
    step is PCGrad's. A pair with a zero gradient is skipped and keeps its target.

    Choose it for tasks that usually agree and should go on agreeing.

    Args:
        beta: Rate of the targets' moving average. In [0, 1].

    Raises:
        ValueError: If ``beta`` is outside [0, 1].

    References:
        Wang et al., Gradient Vaccine, ICLR 2021, equation 6 and algorithm 1. Targets are kept for whole task gradients,
        not layer by layer, and no higher than ``1 - 1e-6``, where the formula has its pole. TorchJD's
        differs by a default of 0.5 for ``beta`` and by 1e-8 in the denominators; without that constant gradients may
        have any scale.
    """

    beta: float = field(default=0.01, metadata={"search": (1e-3, 0.5)})

    def __post_init__(self) -> None:
        if not 0.0 <= self.beta <= 1.0:
            raise ValueError(f"`beta` should be in [0, 1]. Found `beta = {self.beta}`.")

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """State with the targets at 0 and the generator's current position."""
        return {"target": torch.zeros(num_tasks, num_tasks).double(), "generator": generator.get_state()}

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        known_TT, generator = to_array(gram_TT), generator_at(state["generator"])
        target_TT = to_array(state["target"]).copy()
        at = (np.arange(len(known_TT)), random_orders(len(known_TT), generator))
        weights_T, cosine_OT = _vaccinate(known_TT, at[1], target_TT[at])
        moved_OT = (1 - self.beta) * target_TT[at] + self.beta * cosine_OT
        moved_OT = np.minimum(np.maximum(moved_OT, -_MOST), _MOST)
        target_TT[at] = np.where(np.isnan(cosine_OT), target_TT[at], moved_OT)
        after = {"target": torch.from_numpy(target_TT), "generator": generator.get_state()}
        return to_tensor(weights_T, like=gram_TT), after


def _vaccinate(gram_TT: Array, order_OT: npt.NDArray[np.int64], goal_OT: Array) -> tuple[Array, Array]:
    """The weights, and the cosine each pair had when its turn came; nan where one of the two was zero."""
    row_T, length_T, cosine_TT = np.arange(len(gram_TT)), norms(gram_TT), cosines(gram_TT)
    coefficients_TT = np.diag(length_T)  # of the unit gradients
    product_OT, own_OT = np.empty_like(goal_OT), np.empty_like(goal_OT)
    slope_OT = goal_OT / np.sqrt(1 - goal_OT**2)
    for turn, other_T in enumerate(order_OT):
        product_TT = coefficients_TT @ cosine_TT
        square_T = np.maximum(np.einsum("ij,ij->i", product_TT, coefficients_TT), 0.0)
        product_T, own_T = product_TT[row_T, other_T], np.sqrt(square_T)
        across_T = np.sqrt(np.maximum(square_T - product_T**2, 0.0))
        added_T = slope_OT[turn] * across_T - product_T
        coefficients_TT[row_T, other_T] = np.where(product_T < goal_OT[turn] * own_T, added_T, 0.0)
        product_OT[turn], own_OT[turn] = product_T, own_T
    known_OT = (own_OT > 0) & (length_T[order_OT] > 0)
    cosine_OT = np.divide(product_OT, own_OT, where=known_OT, out=np.full_like(own_OT, np.nan))
    return coefficients_TT.sum(0) * inverse(length_T), np.minimum(np.maximum(cosine_OT, -1.0), 1.0)
