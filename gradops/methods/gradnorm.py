"""GradNorm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.linalg import combined_norm, norms

Target = Literal["mean", "combined"]
_LEAST = 1e-6


@dataclass(frozen=True, kw_only=True)
class GradNorm(GramianMethod):
    r"""Learned weights that bring the weighted gradients to lengths set by how fast each task trains.

    With :math:`G_i = w_i \|g_i\|` and :math:`r_i = (L_i / L_i(0)) / \mathrm{mean}_j(L_j / L_j(0))`, one Adam step on
    :math:`\sum_i |G_i - \mathrm{mean}(G)\, r_i^\tau|` over :math:`w` only (the target is a constant), then :math:`w` is
    renormalised to sum T. The weights of a step are those that the step before left.

    Args:
        tau: How strongly slow tasks are helped; "alpha" in its paper. 0 makes all lengths equal. At least 0.
        lr: Adam's rate for the weights. Above 0.
        target: The length that :math:`r_i^\tau` stretches: ``"mean"`` of the :math:`G_i`, or that of the
            ``"combined"`` gradient :math:`\sum_i w_i g_i`, as in RotoGrad's first version.

    Raises:
        ValueError: If ``tau`` is negative, ``lr`` is not positive or ``target`` is neither.

    References:
        Chen et al., GradNorm, ICML 2018, equation 2 and algorithm 1. Lengths are those of everything shared, or of the
        features with ``measure = "features"``, not of one last layer; towers get the plain gradient of their own loss.
        Weights are kept above 1e-6, where the paper lets them turn negative.
    """

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
        now = {name: value.to(gram_TT.device) for name, value in state.items()}
        losses_T, length_T = losses_T.double(), norms(gram_TT)
        initial_T = torch.where(now["step"] == 0, losses_T, now["initial"])
        weighted_T = now["weight"] * length_T
        middle = weighted_T.mean() if self.target == "mean" else combined_norm(gram_TT.double(), now["weight"])
        slope_T = length_T * torch.sign(weighted_T - middle * self._stretch(losses_T, initial_T))
        mean_T, square_T = torch.lerp(slope_T, now["mean"], 0.9), torch.lerp(slope_T.square(), now["square"], 0.999)
        step = now["step"] + 1
        scale_T = (square_T / (1 - 0.999**step)).sqrt()
        moved_T = now["weight"] - self.lr * (mean_T / (1 - 0.9**step)) / scale_T.clamp(min=1e-300)
        kept_T = moved_T.clamp(min=_LEAST)
        weight_T = kept_T * len(kept_T) / kept_T.sum()
        after = {"weight": weight_T, "initial": initial_T, "mean": mean_T, "square": square_T, "step": step}
        return now["weight"], after

    def pace(self, losses_T: Tensor, state: State) -> Tensor:
        """``r_i^tau``."""
        return self._stretch(losses_T.double(), state["initial"].to(losses_T.device))

    def _stretch(self, losses_T: Tensor, initial_T: Tensor) -> Tensor:
        progress_T = losses_T / initial_T.clamp(min=_LEAST)
        return (progress_T / progress_T.mean().clamp(min=_LEAST)).pow(self.tau)
