"""Uncertainty weighting, and IMTL-L."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from gradops.adam import adam
from gradops.base import GramianMethod, State
from gradops.linalg import to_array, to_tensor
from gradops.losses import known_losses

Loss = Literal["classification", "imtl"]
_REMEMBERED = ("log_variance", "mean", "square")


@dataclass(frozen=True, kw_only=True)
class Uncertainty(GramianMethod):
    r"""Weights :math:`e^{-s_i}`, learned as the precision of each task's labels.

    One Adam step on :math:`\sum_i e^{-s_i} L_i + c\, s_i` over the log-variances :math:`s`; a step uses the weights
    that the previous step left, 1 at first. They come to rest at :math:`c / L_i`: compared with ``log_loss``, a moving
    average of many steps' losses decides and not one batch's, which matters for rare tasks.

    Choose it where losses differ in size and the loss of one batch is noise.

    Args:
        lr: Adam's rate for the log-variances. Above 0.
        loss: ``"classification"`` for :math:`c = \frac12`, the likelihood of labels; ``"imtl"`` for :math:`c = 1`,
            which is IMTL-L with :math:`-s` for its scale.

    Raises:
        ValueError: If ``lr`` is not positive, ``loss`` is neither, or a loss is negative.

    References:
        Kendall et al., Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018, equation 10; Liu et al.,
        Towards Impartial Multi-task Learning, ICLR 2021, its loss balance (IMTL-L). Log-variances are learned by an
        Adam of their own and not by the model's optimizer. LibMTL and TorchJD take half of ``"imtl"`` for every task;
        LibMTL starts at -0.5. Towers get the plain gradients of their own losses. A task without labels in a batch has
        the slope 0 in it.
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling"})
    needs_gramian: ClassVar[bool] = False
    reads_losses: ClassVar[bool] = True
    lr: float = field(default=0.01, metadata={"search": (1e-3, 0.1)})
    loss: Loss = "classification"

    def __post_init__(self) -> None:
        if not 0.0 < self.lr < float("inf"):
            raise ValueError(f"`lr` should be a finite number above 0. Found `lr = {self.lr}`.")
        if self.loss not in get_args(Loss):
            raise ValueError(f"`loss` should be one of {', '.join(get_args(Loss))}. Found `{self.loss}`.")

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """Log-variances and Adam's moments at 0."""
        del generator
        zero_T = torch.zeros(num_tasks, dtype=torch.float64)
        return {**dict.fromkeys(_REMEMBERED, zero_T), "step": torch.zeros((), dtype=torch.float64)}

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del gram_TT
        log_T, mean_T, square_T = (to_array(state[name]) for name in _REMEMBERED)
        loss_T, known_T = known_losses(losses_T)
        weights_T, rest = np.exp(-log_T), 0.5 if self.loss == "classification" else 1.0
        slope_T = np.where(known_T, rest - weights_T * loss_T, 0.0)
        moved_T, mean_T, square_T = adam(slope_T, mean_T, square_T, float(state["step"]), self.lr)
        after = dict(zip(_REMEMBERED, map(torch.from_numpy, (log_T - moved_T, mean_T, square_T)), strict=True))
        return to_tensor(weights_T, like=losses_T), {**after, "step": state["step"] + 1}
