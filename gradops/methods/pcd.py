"""PCD."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.cone import least_squares
from gradops.linalg import Array, combined_norm, cosines, inverse, norms, to_array, to_tensor

# Constraints that are missed by less than this share of the largest gradient hold, up to rounding.
_ROUNDING = 1e-7


@dataclass(frozen=True, kw_only=True)
class PCD(GramianMethod):
    r"""The gradient of one task, changed as little as lets every other task progress by a minimum.

    With :math:`\tilde g_i` the gradients over moving averages of their lengths and :math:`p` the primary task, the
    direction is the nearest :math:`d` to :math:`\tilde g_p` with :math:`\tilde g_j \cdot d \ge \tau \|\tilde g_j\|^2`
    for every other task; the update has the length of :math:`g_p`. Where no :math:`d` has enough for all, as between
    opposite gradients, the update is :math:`g_p`.

    Choose it where one task counts more than all others, which should only not be forgotten.

    Args:
        primary: Place of the primary task in the config's order, from 0.
        tau: Progress of each other task, as a share of that of a step along its own gradient.
        beta: Decay of the moving average of squared lengths.

    Raises:
        ValueError: If an option is outside its range.

    References:
        Priority-Constrained Descent, arXiv 2606.29521, TMLR 2026, as TorchJD 0.18 documents it. The problem is solved
        by pivoting, as a projection is. Without their 1e-8 under the root of the average, gradients may have
        any scale.

    Example:
        >>> gram_TT = torch.tensor([[1.0, -1.0], [-1.0, 2.0]])
        >>> PCD(tau=0.0).weights(gram_TT, torch.ones(2), PCD().init(2, torch.Generator()))[0]
        tensor([1.4142, 0.7071], dtype=torch.float64)
    """

    primary: int = 0
    tau: float = field(default=0.02, metadata={"search": (0.0, 0.5)})
    beta: float = 0.999

    claims: ClassVar[frozenset[str]] = frozenset({"linear_under_scaling"})

    def __post_init__(self) -> None:
        if self.primary < 0:
            raise ValueError(f"`primary` should be at least 0. Found `primary = {self.primary}`.")
        if not 0.0 <= self.tau <= 1.0:
            raise ValueError(f"`tau` should be in [0, 1]. Found `tau = {self.tau}`.")
        if not 0.0 <= self.beta < 1.0:
            raise ValueError(f"`beta` should be in [0, 1). Found `beta = {self.beta}`.")

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """State with no squared lengths yet.

        Raises:
            ValueError: If there is no primary task.
        """
        del generator
        if self.primary >= num_tasks:
            raise ValueError(f"`primary` should be below {num_tasks}, the tasks. Found `primary = {self.primary}`.")
        return {"square": torch.zeros(num_tasks, dtype=torch.float64), "steps": torch.zeros((), dtype=torch.int64)}

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        known_TT, steps = to_array(gram_TT), int(state["steps"]) + 1
        square_T = self.beta * to_array(state["square"]) + (1 - self.beta) * norms(known_TT) ** 2
        after = {"square": torch.from_numpy(square_T), "steps": torch.tensor(steps)}
        scale_T = inverse(np.sqrt(square_T / (1 - self.beta**steps)))
        return to_tensor(self._weights(known_TT, scale_T), like=gram_TT), after

    def _weights(self, gram_TT: Array, scale_T: Array) -> Array:
        """The weights for given factors of the gradients."""
        length_T, cosine_TT = norms(gram_TT), cosines(gram_TT)
        others = np.arange(len(gram_TT)) != self.primary
        size_T = length_T * scale_T
        target_S = self.tau * size_T[others] - cosine_TT[others, self.primary] * size_T[self.primary]
        among_SS = cosine_TT[np.ix_(others, others)]
        added_S = least_squares(among_SS, target_S[None])[0]
        chosen_T = np.where(others, 0.0, scale_T)
        if (among_SS @ added_S - target_S >= -_ROUNDING * (size_T.max() + added_S.sum())).all():
            chosen_T[others] = added_S * inverse(length_T[others])
        result_T: Array = chosen_T * length_T[self.primary] * inverse(np.array(combined_norm(gram_TT, chosen_T)))
        return result_T
