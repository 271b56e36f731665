"""GO4Align."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.linalg import Array, to_array, to_tensor
from gradops.losses import LEAST_LOSS, known_losses


@dataclass(frozen=True, kw_only=True)
class GO4Align(GramianMethod):
    r"""One over each task's loss and history, made equal within groups of tasks that are alike.

    With :math:`p` proportional to :math:`e^{-\eta \sum_t L_i}` over all steps so far, task :math:`i` has
    :math:`p_i \sum_j L_j / L_i`. The T numbers are cut into ``groups`` groups with the least sum of squares within, and
    every task has the mean of its group. With equal losses every weight is 1.

    Choose it over ``log_loss`` where several tasks are of one kind and should have one weight.

    Args:
        groups: Number of groups, at least 1; T or more for none.
        eta: Rate at which losses of earlier steps count. At least 0.

    Raises:
        ValueError: If an option is outside its range, or a loss is negative.

    References:
        Shen et al., GO4Align: Group Optimization for Multi-Task Alignment, NeurIPS 2024, as in the
        authors' code: :math:`\eta = 10^{-4}`, and larger losses lower :math:`p`. The best grouping is found exactly,
        where their k-means starts at random. A task without labels in the batch has weight 0 and is in no group. Towers
        get the plain gradients of their own losses.
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling"})
    needs_gramian: ClassVar[bool] = False
    reads_losses: ClassVar[bool] = True
    groups: int = 2
    eta: float = field(default=1e-4, metadata={"search": (0.0, 1e-2)})

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise ValueError(f"`groups` should be at least 1. Found `groups = {self.groups}`.")
        if not 0.0 <= self.eta < float("inf"):
            raise ValueError(f"`eta` should be a finite number of at least 0. Found `eta = {self.eta}`.")

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """Sums of the losses at 0."""
        del generator
        return {"sum": torch.zeros(num_tasks, dtype=torch.float64)}

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del gram_TT
        loss_T, known_T = known_losses(losses_T)
        sum_T = to_array(state["sum"]) + loss_T
        history_T = np.exp(-self.eta * (sum_T - sum_T.min()))
        weights_T = np.zeros_like(loss_T)
        weights_T[known_T] = (history_T / history_T.sum() * loss_T.sum() / np.maximum(loss_T, LEAST_LOSS))[known_T]
        if self.groups < known_T.sum():
            weights_T[known_T] = group_means(weights_T[known_T], self.groups)
        return to_tensor(weights_T, like=losses_T), {"sum": torch.from_numpy(sum_T)}


def group_means(values_N: Array, groups: int) -> Array:
    """Each value's group mean, for the grouping with the least sum of squares within; groups are intervals.

    References:
        Fisher, On Grouping for Maximum Homogeneity, Journal of the American Statistical Association 1958.
    """
    order_N = values_N.argsort(kind="stable")
    sorted_N, number = values_N[order_N], len(values_N)
    # Centred, since the squares of large equal values would hide small differences.
    centred_N = sorted_N - sorted_N.mean()
    sums, squares = (np.concatenate([[0.0], np.cumsum(v)]) for v in (centred_N, centred_N**2))
    size_NN = np.arange(1, number + 1) - np.arange(number)[:, None]  # of the group from row up to column
    within_NN = squares[1:] - squares[:-1, None] - (sums[1:] - sums[:-1, None]) ** 2 / np.maximum(size_NN, 1)
    cost_NN = np.where(size_NN > 0, within_NN, np.inf)
    best_N, cuts = cost_NN[0], []
    for _ in range(groups - 1):
        # The last group begins at the row; those before it end there.
        total_NN = np.concatenate([[np.inf], best_N[:-1]])[:, None] + cost_NN
        cuts.append(total_NN.argmin(axis=0))
        best_N = total_NN.min(axis=0)
    means_N, end = np.empty_like(values_N), number
    for begin_N in [*reversed(cuts), np.zeros(number, dtype=np.int64)]:
        begin = int(begin_N[end - 1])
        means_N[order_N[begin:end]] = sorted_N[begin:end].mean()
        end = begin
    return means_N
