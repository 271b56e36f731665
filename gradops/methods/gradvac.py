"""GradVac."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gradops.base import GramianMethod, State, generator_at
from gradops.linalg import inverse, norms
from gradops.methods.pcgrad import random_orders


@dataclass(frozen=True, kw_only=True)
class GradVac(GramianMethod):
    r"""Like PCGrad, but towards the similarity each pair of tasks has shown so far instead of towards zero.

    For each task :math:`i`, in a fresh random order of :math:`j \ne i`, with :math:`\phi` the cosine of :math:`v_i` and
    :math:`g_j` and :math:`\hat\phi_{ij}` the pair's target: where :math:`\phi < \hat\phi_{ij}`,

    .. math:: v_i \leftarrow v_i + \frac{\|v_i\| (\hat\phi_{ij} \sqrt{1 - \phi^2} - \phi \sqrt{1 - \hat\phi_{ij}^2})}
        {\|g_j\| \sqrt{1 - \hat\phi_{ij}^2}}\, g_j,

    and then :math:`\hat\phi_{ij} \leftarrow (1 - \beta) \hat\phi_{ij} + \beta \phi`. Targets start at 0, so the first
    step is PCGrad's. A pair with a zero gradient is passed over, its target kept.

    Args:
        beta: Rate of the targets' moving average. In [0, 1].

    Raises:
        ValueError: If ``beta`` is outside [0, 1].

    References:
        Wang et al., Gradient Vaccine, ICLR 2021, equation 6 and algorithm 1. Targets are kept for whole task gradients,
        not layer by layer, and no higher than ``1 - 1e-6``, where the formula has its pole.
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
        gram_TT, generator = gram_TT.double(), generator_at(state["generator"])
        tasks, row_T = len(gram_TT), torch.arange(len(gram_TT), device=gram_TT.device)
        target_TT = state["target"].to(gram_TT.device, copy=True)
        coefficients_TT = torch.eye(tasks, dtype=torch.float64, device=gram_TT.device)
        length_T = norms(gram_TT)
        for other_T in random_orders(tasks, generator).to(gram_TT.device):
            own_T = torch.einsum("ij,jk,ik->i", coefficients_TT, gram_TT, coefficients_TT).clamp(min=0).sqrt()
            product_T = (coefficients_TT * gram_TT[other_T]).sum(1)
            cosine_T = (product_T * inverse(own_T * length_T[other_T])).clamp(-1, 1)
            goal_T = target_TT[row_T, other_T]
            sine_T, goal_sine_T = (1 - cosine_T.square()).sqrt(), (1 - goal_T.square()).sqrt()
            added_T = own_T * (goal_T * sine_T - cosine_T * goal_sine_T) * inverse(length_T[other_T] * goal_sine_T)
            coefficients_TT[row_T, other_T] += torch.where(cosine_T < goal_T, added_T, 0.0)
            known_T = (own_T > 0) & (length_T[other_T] > 0)
            moved_T = torch.lerp(goal_T, cosine_T, self.beta).clamp(-1 + 1e-6, 1 - 1e-6)
            target_TT[row_T, other_T] = torch.where(known_T, moved_T, goal_T)
        return coefficients_TT.sum(0), {"target": target_TT, "generator": generator.get_state()}
