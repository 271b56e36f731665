"""GradNorm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from gradops.adam import adam
from gradops.base import GramianMethod, State
from gradops.linalg import Array, combined_norm, norms, to_array, to_tensor

Target = Literal["mean", "combined"]
_LEAST = 1e-6
_REMEMBERED = ("weight", "initial", "mean", "square")


@dataclass(frozen=True, kw_only=True)
class GradNorm(GramianMethod):
    r"""Learned weights that bring the weighted gradients to lengths set by how fast each task trains.

    With :math:`G_i = w_i \|g_i\|` and :math:`r_i = (L_i / L_i(0)) / \mathrm{mean}_j(L_j / L_j(0))`, one Adam step on
    :math:`\sum_i |G_i - \mathrm{mean}(G)\, r_i^\tau|` over :math:`w` only (the target is a constant), then :math:`w` is
    renormalised to sum T. A step uses the weights that the previous step left.

    Choose it for losses that fall at very different speeds, in runs long enough for the weights to settle.

    Args:
        tau: Strength of the help for slow tasks, at least 0; "alpha" in its paper. 0 makes all lengths equal.
        lr: Adam's rate for the weights. Above 0.
        target: The length that :math:`r_i^\tau` stretches: the ``"mean"`` of the :math:`G_i`, or the length of the
            ``"combined"`` gradient :math:`\sum_i w_i g_i`, as in RotoGrad's first version.

    Raises:
        ValueError: If ``tau`` is negative, ``lr`` is not positive or ``target`` is unknown.

    References:
        Chen et al., GradNorm, ICML 2018, equation 2 and algorithm 1. Lengths are those of everything shared, or of the
        features with ``measure = "features"``, not of one last layer; towers get the plain gradient of their own loss.
        Weights are kept above 1e-6, where the paper lets them turn negative. A task whose loss is 0 or negative (as
        without labels in the batch) is left out of the mean rate, a task without a gradient is left out of the mean
        length. A task's initial loss is its first loss above 0.
    """

    reads_losses: ClassVar[bool] = True
    tau: float = field(default=1.5, metadata={"search": (0.0, 3.0)})
    lr: float = field(default=0.025, metadata={"search": (1e-3, 0.1)})
    target: Target = "mean"

    def __post_init__(self) -> None:
        if not 0.0 <= self.tau < float("inf"):
            raise ValueError(f"`tau` should be a finite number of at least 0. Found `tau = {self.tau}`.")
        if not 0.0 < self.lr < float("inf"):
            raise ValueError(f"`lr` should be a finite number above 0. Found `lr = {self.lr}`.")
        if self.target not in get_args(Target):
            raise ValueError(f"`target` should be one of {', '.join(get_args(Target))}. Found `{self.target}`.")

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """Weights 1; initial losses, taken from the first step, and Adam's moments at 0."""
        del generator
        zero_T = torch.zeros(num_tasks, dtype=torch.float64)
        return {
            "weight": zero_T + 1,
            "initial": zero_T,
            "mean": zero_T,
            "square": zero_T,
            "step": torch.zeros((), dtype=torch.float64),
        }

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        weight_T, initial_T, mean_T, square_T = (to_array(state[name]) for name in _REMEMBERED)
        step = float(state["step"])
        initial_T = np.where(initial_T > 0, initial_T, np.maximum(to_array(losses_T), 0.0))
        slope_T = self._slope(to_array(gram_TT), weight_T, self._stretch(to_array(losses_T), initial_T))
        step_T, mean_T, square_T = adam(slope_T, mean_T, square_T, step, self.lr)
        kept_T = np.maximum(weight_T - step_T, _LEAST)
        after = (kept_T * (len(kept_T) / kept_T.sum()), initial_T, mean_T, square_T)
        remembered = {name: torch.from_numpy(value) for name, value in zip(_REMEMBERED, after, strict=True)}
        return to_tensor(weight_T.copy(), like=gram_TT), {**remembered, "step": state["step"] + 1}

    def training_rate(self, losses_T: Tensor, state: State) -> Tensor:
        """Stretch of each task's gradient, ``r_i^tau``."""
        return to_tensor(self._stretch(to_array(losses_T), to_array(state["initial"])), like=losses_T)

    def _stretch(self, losses_T: Array, initial_T: Array) -> Array:
        """Factors ``r_i^tau``; 1 for a task without a loss in this step, whose training rate is unknown."""
        known_T = (losses_T > 0) & (initial_T > 0)
        progress_T = losses_T[known_T] / np.maximum(initial_T[known_T], _LEAST)
        stretch_T = np.ones_like(initial_T)
        stretch_T[known_T] = (progress_T / progress_T.mean()) ** self.tau if known_T.any() else 1.0
        return stretch_T

    def _slope(self, gram_TT: Array, weight_T: Array, stretch_T: Array) -> Array:
        """Slope of the sum of ``|G_i - target_i|`` with respect to the weights."""
        length_T = norms(gram_TT)
        weighted_T = weight_T * length_T
        present_T = length_T > 0
        mean = weighted_T[present_T].mean() if present_T.any() else 0.0
        middle = mean if self.target == "mean" else combined_norm(gram_TT, weight_T)
        slope_T: Array = length_T * np.sign(weighted_T - middle * stretch_T)
        return slope_T
