"""PE-LTR's bounded Pareto weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.hull import min_norm_point
from gradops.linalg import Array, to_array, to_tensor


@dataclass(frozen=True, kw_only=True)
class PELTR(GramianMethod):
    r"""MGDA with a least weight for every task: the shortest vector among the weighted means that keep those.

    :math:`\lambda` minimises :math:`\|\sum_i \lambda_i g_i\|` over :math:`\sum_i \lambda_i = 1`, :math:`\lambda_i \ge
    c_i` with :math:`\sum_i c_i` = ``floor``. At 0 it is MGDA, at 1 the preferred weighted mean; between them it may
    conflict with a task.

    Choose it where a task's worth is known in part, such as "clicks are worth at least half", and the rest is free.

    Args:
        floor: The sum of the least weights. In [0, 1].
        preference: The shares of the tasks in ``floor``, in their order, each at least 0 with a sum above 0; empty for
            equal ones.

    Raises:
        ValueError: If an option is outside its range, or the number of preferences is not the number of tasks.

    References:
        Lin et al., A Pareto-Efficient Algorithm for Multiple Objective Optimization in E-Commerce Recommendation,
        RecSys 2019 (PE-LTR), the condition on its scalarisation weights. The problem is solved exactly, as MGDA's for
        the gradients :math:`\sum_j c_j g_j + (1 - \sum_j c_j)\, g_i`; the paper solves it without the signs and then
        takes the nearest weights that keep them, which is another point.

    Example:
        >>> import torch
        >>> PELTR(floor=0.8).weights(torch.tensor([[1.0, 0.0], [0.0, 4.0]]), torch.ones(2), {})[0]
        tensor([0.6000, 0.4000], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling", "simplex"})
    floor: float = field(default=0.5, metadata={"search": (0.0, 1.0)})
    preference: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.floor <= 1.0:
            raise ValueError(f"`floor` should be in [0, 1]. Found `floor = {self.floor}`.")
        finite = all(0.0 <= share < float("inf") for share in self.preference)
        if not finite or (self.preference and not sum(self.preference) > 0):
            raise ValueError(f"`preference` should hold numbers of at least 0, not all 0. Found `{self.preference}`.")

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        known_TT, least_T = to_array(gram_TT), self._least(len(gram_TT))
        free = 1 - self.floor
        if free == 0:
            return to_tensor(least_T, like=gram_TT), state
        product_T = known_TT @ least_T
        moved_TT = free**2 * known_TT + free * (product_T + product_T[:, None]) + least_T @ product_T
        return to_tensor(least_T + free * min_norm_point(moved_TT), like=gram_TT), state

    def _least(self, tasks: int) -> Array:
        share_T = np.array(self.preference or (1.0,) * tasks)
        if len(share_T) != tasks:
            raise ValueError(f"`preference` should hold {tasks} numbers, one a task. Found {len(share_T)}.")
        least_T: Array = self.floor * share_T / share_T.sum()
        return least_T
