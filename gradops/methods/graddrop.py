"""GradDrop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gradops.base import ElementwiseMethod, State, generator_at
from gradops.linalg import to_device


@dataclass(frozen=True, kw_only=True)
class GradDrop(ElementwiseMethod):
    r"""At every element of the shared representation, the gradients of one sign only.

    With :math:`s_i` the gradient of task :math:`i` at an element, :math:`P = \frac12 (1 + \sum_i s_i / \sum_i |s_i|)`
    and a fresh uniform :math:`u` for each, the positive :math:`s_i` are kept where :math:`P > u` and the negative ones
    where :math:`P < u`. Task :math:`i` contributes :math:`s_i` where it is kept and :math:`\ell_i s_i` elsewhere.

    Choose it where tasks disagree in few features: there it commits to one sign instead of averaging.

    Args:
        leak: One :math:`\ell_i` a task, each in [0, 1]; empty for 0 each. With 1 a task's gradient is never dropped.

    Raises:
        ValueError: If a leak is outside [0, 1], or their number is not the number of tasks.

    References:
        Chen et al., Just Pick a Sign, NeurIPS 2020, equation 1 and algorithm 1. Signs are compared at every row and
        column of the shared representation, without the paper's multiplication by its activations or sum over the
        batch.

    Example:
        >>> method = GradDrop()
        >>> agreeing_TBD = torch.tensor([[[1.0, -2.0]], [[3.0, -4.0]]])
        >>> method.combine(agreeing_TBD, method.init(2, torch.Generator()))[0]
        tensor([[ 4., -6.]])
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling"})
    leak: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not all(0.0 <= share <= 1.0 for share in self.leak):
            raise ValueError(f"`leak` should hold numbers in [0, 1]. Found `leak = {self.leak}`.")

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """State with the generator's current position."""
        if self.leak and len(self.leak) != num_tasks:
            raise ValueError(f"`leak` should hold {num_tasks} numbers, one a task. Found {len(self.leak)}.")
        return {"generator": generator.get_state()}

    def combine(self, cotangent_TBD: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.ElementwiseMethod.combine`."""
        generator = generator_at(state["generator"])
        drawn = torch.rand(cotangent_TBD.shape[1:], generator=generator, dtype=cotangent_TBD.dtype)
        drawn_BD = to_device(drawn, like=cotangent_TBD)
        total_BD, size_BD = cotangent_TBD.sum(0), cotangent_TBD.abs().sum(0)
        positive_BD = (1 + total_BD / size_BD) / 2  # NaN where every gradient is zero: nothing is kept there
        kept_TBD = torch.where(cotangent_TBD > 0, positive_BD > drawn_BD, positive_BD < drawn_BD)
        leak_T = torch.tensor(self.leak or (0.0,) * len(cotangent_TBD), dtype=cotangent_TBD.dtype)
        leak_T = to_device(leak_T, like=cotangent_TBD)
        leak_TBD = leak_T.view(-1, *[1] * (cotangent_TBD.dim() - 1))
        combined_BD = (cotangent_TBD * (leak_TBD + (1 - leak_TBD) * kept_TBD)).sum(0)
        return combined_BD, {"generator": generator.get_state()}
