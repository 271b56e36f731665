"""RotoGrad's scaling without its rotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.linalg import inverse, norms, to_array, to_tensor


@dataclass(frozen=True, kw_only=True)
class RotoGradScale(GramianMethod):
    r"""Task gradients at the shared representation, all brought to one length.

    :math:`d = C \sum_k G_k / \|G_k\|` with :math:`C = \sum_k \alpha_k \|G_k\|` and :math:`\alpha_k \propto \|G_k\| /
    \|G_k^0\|`: the common length is nearest to that of the task whose gradient has shrunk least since the first step.

    A rare task's gradient can all but vanish, in a batch without positive rows or once its tower has learned them. It
    is stretched to the common length like the others, and its noise with it: on a log of clicks and purchases the
    weight of the rarest task reached 1.4e7. The paper's answer is the common length alone, which follows the tasks that
    have shrunk least; it bounds no weight, and the authors' package replaces a length only below 1e-15. ``+ bound(10)``
    does bound it; without it the numbers are the paper's. A comparison warns of weights above 1,000.

    Choose it where one task's gradients drown the others': it costs as little as uniform scaling.

    References:
        Javaloy and Valera, RotoGrad, ICLR 2022, section 4.1 ("scale only"). A task whose gradient is zero in the first
        step is measured from its first step with a non-zero gradient. The authors' package takes the lengths of step
        20 as the first ones; this method takes those of the first step, as the paper does.

    Example:
        >>> method = RotoGradScale()
        >>> method.weights(torch.tensor([[1.0, 0.0], [0.0, 9.0]]), torch.ones(2), method.init(2, torch.Generator()))[0]
        tensor([2.0000, 0.6667], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling"})
    at_features: ClassVar[bool] = True

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """State with the first lengths, 0 until they are known."""
        del generator
        return {"first": torch.zeros(num_tasks, dtype=torch.float64)}

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        length_T, first_T = norms(to_array(gram_TT)), to_array(state["first"])
        first_T = np.where(first_T > 0, first_T, length_T)
        ratio_T = length_T * inverse(first_T)
        common = ratio_T @ length_T * inverse(ratio_T.sum())
        return to_tensor(common * inverse(length_T), like=gram_TT), {"first": torch.from_numpy(first_T)}
