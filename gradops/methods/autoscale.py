"""AutoScale: fixed weights from a short exploring phase."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.linalg import Array, inverse, norms, to_array, to_tensor


@dataclass(frozen=True, kw_only=True)
class AutoScale(GramianMethod):
    r"""Uniform scaling for some steps, then for ever the fixed weights that would have made all gradients equally long.

    With :math:`n_i` the mean length of task :math:`i`'s gradient over the first ``explore`` steps, :math:`\lambda_i = T
    n_i^{-1} / \sum_j n_j^{-1}` from then on. The Gram matrix is formed in the exploring phase only; later steps cost as
    much as uniform scaling.

    Choose it in place of a search over static weights, as the rival that gradient methods have to beat.

    Args:
        explore: Steps of the exploring phase, at least 1.

    Raises:
        ValueError: If ``explore`` is below 1.

    References:
        Yang et al., AutoScale: Linear Scalarization Guided by Multi-Task Optimization Metrics, arXiv 2508.13979, 2025:
        well-chosen fixed weights are those with similar lengths of the weighted gradients. Of the paper's metrics this
        is the one used here; it needs no optimization, and the phase's model is kept. A task without a gradient in a
        step does not count in it, and one that never had any keeps weight 1.
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling"})
    explore: int = field(default=200, metadata={"search": (50, 1000)})

    def __post_init__(self) -> None:
        if self.explore < 1:
            raise ValueError(f"`explore` should be at least 1. Found `explore = {self.explore}`.")

    @property
    def settling(self) -> int:
        """The exploring phase."""
        return self.explore

    def reads_gramian(self, state: State | None) -> bool:
        """In the exploring phase only."""
        return state is None or int(state["step"]) < self.explore

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """Sums over no step yet."""
        del generator
        zero_T = torch.zeros(num_tasks, dtype=torch.float64)
        return {"sum": zero_T, "count": zero_T, "step": torch.zeros((), dtype=torch.float64)}

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        sum_T, count_T = to_array(state["sum"]), to_array(state["count"])
        if not self.reads_gramian(state):
            return to_tensor(_levelling(sum_T * inverse(count_T)), like=gram_TT), state
        length_T = norms(to_array(gram_TT))
        after_T = {"sum": torch.from_numpy(sum_T + length_T), "count": torch.from_numpy(count_T + (length_T > 0))}
        return to_tensor(np.ones_like(length_T), like=gram_TT), {**after_T, "step": state["step"] + 1}


def _levelling(length_T: Array) -> Array:
    """Weights of sum T that level the lengths; 1 for a task without one."""
    known_T = length_T > 0
    weights_T = np.ones_like(length_T)
    if known_T.any():
        share_T = length_T[known_T].min() / length_T[known_T]
        weights_T[known_T] = known_T.sum() * share_T / share_T.sum()
    return weights_T
