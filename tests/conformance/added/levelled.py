"""A method that shortens long gradients."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from gradops.base import GramianMethod, State


@dataclass(frozen=True, kw_only=True)
class Levelled(GramianMethod):
    """The sum of the task gradients, the long ones shortened.

    Args:
        power: 0 keeps every length, 1 makes all lengths 1. In [0, 1].
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant"})
    power: float = field(default=0.5, metadata={"search": (0.0, 1.0)})

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        length_T = gram_TT.double().diagonal().sqrt()
        return torch.where(length_T > 0, length_T.pow(-self.power), 0.0), state
