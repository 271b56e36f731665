"""Uniform scaling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gradops.base import GramianMethod, State


@dataclass(frozen=True, kw_only=True)
class Uniform(GramianMethod):
    """The plain sum of the task gradients: every weight is 1.

    Choose it first: it is hard to beat where tasks agree.

    Example:
        >>> Uniform().weights(torch.eye(2), torch.ones(2), {})[0]
        tensor([1., 1.], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling"})
    needs_gramian: ClassVar[bool] = False

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del gram_TT
        return torch.ones(len(losses_T), dtype=torch.float64, device=losses_T.device), state
