"""FAMO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gradops.adam import adam
from gradops.base import GramianMethod, State
from gradops.linalg import Array, inverse, to_array, to_tensor
from gradops.losses import LEAST_LOSS, known_losses

_REMEMBERED = ("logit", "mean", "square", "before")


@dataclass(frozen=True, kw_only=True)
class FAMO(GramianMethod):
    r"""Weights that are learned so that the logarithms of all losses fall at one rate; no gradient is looked at.

    With :math:`z = \mathrm{softmax}(\xi)`, :math:`\lambda_i = T c\, z_i / L_i` and :math:`c = 1 / \sum_i z_i / L_i`, so
    that the weights sum to T. After a step the logits :math:`\xi` take an Adam step down :math:`\sum_i z_i \delta_i`
    with :math:`\delta_i` the fall of :math:`\log L_i`: tasks that fell less gain weight.

    Choose it as a stand-in for MGDA that costs nothing, for losses whose batches are large enough to show a trend.

    Args:
        lr: Adam's rate for the logits. Above 0.
        decay: Weight decay of the logits, at least 0: how fast old rates are forgotten.

    Raises:
        ValueError: If an option is outside its range, or a loss is negative.

    References:
        Liu et al., FAMO: Fast Adaptive Multitask Optimization, NeurIPS 2023, algorithm 1. An approximation: the paper
        computes each loss again on the same batch after the step, this method takes the next batch's losses in their
        place, so that :math:`\delta` also holds the difference of two batches. The update is T times the paper's.
        ``decay`` is that of the paper's algorithm 2 and of LibMTL; the authors' code has 1e-5. Losses have no lower
        bounds other than 0. Towers get the plain gradients of their own losses. A task without labels in one of two
        batches has no :math:`\delta`.
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling"})
    needs_gramian: ClassVar[bool] = False
    reads_losses: ClassVar[bool] = True
    lr: float = field(default=0.025, metadata={"search": (1e-3, 0.1)})
    decay: float = 1e-3

    def __post_init__(self) -> None:
        if not 0.0 < self.lr < float("inf"):
            raise ValueError(f"`lr` should be a finite number above 0. Found `lr = {self.lr}`.")
        if not 0.0 <= self.decay < float("inf"):
            raise ValueError(f"`decay` should be a finite number of at least 0. Found `decay = {self.decay}`.")

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """Logits and Adam's moments at 0; the losses of the step before are 0 until they are known."""
        del generator
        zero_T = torch.zeros(num_tasks, dtype=torch.float64)
        return {**dict.fromkeys(_REMEMBERED, zero_T), "step": torch.zeros((), dtype=torch.float64)}

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del gram_TT
        logit_T, mean_T, square_T, before_T = (to_array(state[name]) for name in _REMEMBERED)
        loss_T, known_T = known_losses(losses_T)
        step = float(state["step"])
        if step > 0:
            slope_T = self._slope(logit_T, before_T, loss_T)
            moved_T, mean_T, square_T = adam(slope_T, mean_T, square_T, step - 1, self.lr)
            logit_T = logit_T - moved_T
        share_T = _softmax(logit_T) * known_T / np.maximum(loss_T, LEAST_LOSS)
        weights_T = len(share_T) * share_T * inverse(share_T.sum())
        after = (logit_T, mean_T, square_T, loss_T)
        remembered = {name: torch.from_numpy(value.copy()) for name, value in zip(_REMEMBERED, after, strict=True)}
        return to_tensor(weights_T, like=losses_T), {**remembered, "step": state["step"] + 1}

    def _slope(self, logit_T: Array, before_T: Array, loss_T: Array) -> Array:
        """The slope of ``sum z_i delta_i`` with respect to the logits, and that of their decay."""
        both_T, share_T = (before_T > 0) & (loss_T > 0), _softmax(logit_T)
        fall_T = np.log(np.maximum(before_T, LEAST_LOSS)) - np.log(np.maximum(loss_T, LEAST_LOSS))
        fall_T = np.where(both_T, fall_T, 0.0)
        slope_T: Array = share_T * (fall_T - share_T @ fall_T) + self.decay * logit_T
        return slope_T


def _softmax(logit_T: Array) -> Array:
    share_T = np.exp(logit_T - logit_T.max())
    shares_T: Array = share_T / share_T.sum()
    return shares_T
