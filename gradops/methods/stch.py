"""Smooth Tchebycheff scalarisation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.linalg import Array, Mask, inverse, to_array, to_tensor
from gradops.losses import LEAST_LOSS, known_losses


@dataclass(frozen=True, kw_only=True)
class STCH(GramianMethod):
    r"""Most weight to the task that has gained least since the warm-up, softly.

    The update is the gradient of :math:`T \mu \log \sum_i (L_i / N_i)^{1/\mu}`, a smooth maximum of the losses over
    their values :math:`N_i` after a warm-up: :math:`\lambda_i = T\, \mathrm{softmax}_i(\log(L_i / N_i) / \mu) / L_i`.
    Before that every task's weight is :math:`1 / L_i`. At :math:`\mu = 1` the weights are proportional to
    :math:`1 / N_i` (static weights), and towards 0 the worst task has all.

    Choose it to reach balanced points of a front that no sum of losses reaches, with batches large enough that one
    batch's losses tell which task is behind.

    Args:
        mu: Smoothness of the maximum. Above 0.
        warmup: Steps before the losses :math:`N` are taken. At least 0.
        window: Steps whose mean losses are :math:`N`. At least 1.

    Raises:
        ValueError: If an option is outside its range, or a loss is negative.

    References:
        Lin et al., Smooth Tchebycheff Scalarization for Multi-Objective Optimization, ICML 2024, with the
        warm-up of the authors' multi-task code, which has 4 epochs where this has steps, and takes :math:`N` over one
        epoch more. That code and LibMTL have :math:`\mu = 1`. Towers get the plain gradients of their own losses. A
        task without labels in a batch has weight 0.
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling"})
    needs_gramian: ClassVar[bool] = False
    reads_losses: ClassVar[bool] = True
    mu: float = field(default=0.5, metadata={"search": (0.05, 1.0)})
    warmup: int = 500
    window: int = 200

    def __post_init__(self) -> None:
        if not 0.0 < self.mu < float("inf"):
            raise ValueError(f"`mu` should be a finite number above 0. Found `mu = {self.mu}`.")
        if self.warmup < 0 or self.window < 1:
            found = f"`warmup = {self.warmup}`, `window = {self.window}`"
            raise ValueError(f"`warmup` should be at least 0 and `window` at least 1. Found {found}.")

    @property
    def settling(self) -> int:
        """Warm-up and window."""
        return self.warmup + self.window

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """Sums over no step of the window yet."""
        del generator
        zero_T = torch.zeros(num_tasks, dtype=torch.float64)
        return {"sum": zero_T, "count": zero_T, "step": torch.zeros((), dtype=torch.float64)}

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del gram_TT
        sum_T, count_T, step = to_array(state["sum"]), to_array(state["count"]), int(state["step"])
        loss_T, known_T = known_losses(losses_T)
        share_T = known_T.astype(np.float64)
        if step >= self.settling:
            share_T = self._shares(loss_T, known_T, sum_T * inverse(count_T))
        elif step >= self.warmup:
            sum_T, count_T = sum_T + loss_T, count_T + known_T
        weights_T = share_T / np.maximum(loss_T, LEAST_LOSS)
        after = {"sum": torch.from_numpy(sum_T.copy()), "count": torch.from_numpy(count_T.copy())}
        return to_tensor(weights_T, like=losses_T), {**after, "step": state["step"] + 1}

    def _shares(self, loss_T: Array, known_T: Mask, start_T: Array) -> Array:
        """T times the softmax over the tasks whose losses are known, now and then; a task new since then has 1."""
        share_T, both_T = known_T.astype(np.float64), known_T & (start_T > 0)
        if both_T.any():
            log_T = np.log(loss_T[both_T] / start_T[both_T]) / self.mu
            exponential_T = np.exp(log_T - log_T.max())
            share_T[both_T] = both_T.sum() * exponential_T / exponential_T.sum()
        return share_T
