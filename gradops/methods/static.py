"""Static weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.linalg import to_device


@dataclass(frozen=True, kw_only=True)
class Static(GramianMethod):
    """A weighted sum of the task gradients with weights given once.

    The towers still get the plain gradient of their own loss: only the shared part is weighted, so this differs from
    weighting the losses (under Adam, which normalises the scale of a tower's gradient, the two nearly agree).

    Choose it where the relative worth of tasks is known, such as that of a purchase and a wish.

    Args:
        weight: One weight a task, in the order of the tasks, each at least 0 and finite; empty for 1 each. GradOPS
            section 4.4 draws them on a grid with sum T.

    Raises:
        ValueError: If a weight is negative or not finite, or the number of weights is not the number of tasks.

    Example:
        >>> Static(weight=(0.5, 1.5)).weights(torch.eye(2), torch.ones(2), {})[0]
        tensor([0.5000, 1.5000], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"linear_under_scaling"})
    needs_gramian: ClassVar[bool] = False
    weight: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not all(0.0 <= w < float("inf") for w in self.weight):
            raise ValueError(f"`weight` should hold finite numbers of at least 0. Found `weight = {self.weight}`.")

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del gram_TT
        weight = self.weight or (1.0,) * len(losses_T)
        if len(weight) != len(losses_T):
            raise ValueError(f"`weight` should hold {len(losses_T)} numbers, one a task. Found {len(weight)}.")
        return to_device(torch.tensor(weight, dtype=torch.float64), like=losses_T), state
