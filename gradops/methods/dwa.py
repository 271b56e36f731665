"""Dynamic weight average."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.linalg import Array, inverse, to_array, to_tensor
from gradops.losses import known_losses

_REMEMBERED = ("sum", "count", "older", "newer")


@dataclass(frozen=True, kw_only=True)
class DWA(GramianMethod):
    r"""More weight to the tasks whose losses fall slowly.

    With :math:`\bar L_i` a task's mean loss over a window of steps and :math:`r_i` that of the last window over that of
    the one before, :math:`\lambda = T\, \mathrm{softmax}(r / \theta)`. In the first two windows every weight is 1.

    Choose it where tasks learn at different speeds and gradients are too dear to look at.

    Args:
        temperature: :math:`\theta`: above it nothing but large differences count. Above 0.
        window: Steps in a window, at least 1; a small one compares noise.

    Raises:
        ValueError: If an option is outside its range, or a loss is negative.

    References:
        Liu et al., End-to-End Multi-Task Learning with Attention, CVPR 2019, equation 7. It compares epochs; a log is
        often read once, so this method compares windows of steps. A task without labels in a window counts as one that
        stands still, :math:`r = 1`. Towers get the plain gradients of their own losses.
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling"})
    needs_gramian: ClassVar[bool] = False
    reads_losses: ClassVar[bool] = True
    temperature: float = field(default=2.0, metadata={"search": (0.05, 5.0)})
    window: int = 200

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < float("inf"):
            raise ValueError(f"`temperature` should be a finite number above 0. Found `{self.temperature}`.")
        if self.window < 1:
            raise ValueError(f"`window` should be at least 1. Found `window = {self.window}`.")

    @property
    def settling(self) -> int:
        """Two windows."""
        return 2 * self.window

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """Sums of no window yet; mean losses are 0 until they are known."""
        del generator
        zero_T = torch.zeros(num_tasks, dtype=torch.float64)
        return {**dict.fromkeys(_REMEMBERED, zero_T), "step": torch.zeros((), dtype=torch.float64)}

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del gram_TT
        sum_T, count_T, older_T, newer_T = (to_array(state[name]) for name in _REMEMBERED)
        loss_T, known_T = known_losses(losses_T)
        after_T = (sum_T + loss_T, count_T + known_T, older_T, newer_T)
        if (int(state["step"]) + 1) % self.window == 0:
            after_T = (np.zeros_like(sum_T), np.zeros_like(sum_T), newer_T, after_T[0] * inverse(after_T[1]))
        after = {name: torch.from_numpy(value.copy()) for name, value in zip(_REMEMBERED, after_T, strict=True)}
        weights_T = self._weights(older_T, newer_T)
        return to_tensor(weights_T, like=losses_T), {**after, "step": state["step"] + 1}

    def _weights(self, older_T: Array, newer_T: Array) -> Array:
        rate_T = np.where((older_T > 0) & (newer_T > 0), newer_T * inverse(older_T), 1.0) / self.temperature
        share_T = np.exp(rate_T - rate_T.max())
        weights_T: Array = len(share_T) * share_T / share_T.sum()
        return weights_T
