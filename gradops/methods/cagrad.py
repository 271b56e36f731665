"""CAGrad."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.hull import steepest_hull_point
from gradops.linalg import combined_norm, to_array, to_tensor


@dataclass(frozen=True, kw_only=True)
class CAGrad(GramianMethod):
    r"""Near the mean gradient, the direction along which the task that gains least gains most.

    With :math:`g_0` the mean gradient and :math:`\sqrt\phi = c \|g_0\|`, it maximises :math:`\min_i d \cdot g_i` over
    :math:`\|d - g_0\| \le \sqrt\phi`: :math:`d = g_0 + \sqrt\phi\, g_w / \|g_w\|` with :math:`w` on the simplex
    minimising :math:`g_w \cdot g_0 + \sqrt\phi\, \|g_w\|`.

    Choose it to move between uniform scaling and MGDA by one number.

    Args:
        c: Radius of the ball as a share of the mean gradient. In [0, 1); 0 is uniform scaling.

    Raises:
        ValueError: If ``c`` is outside [0, 1).

    References:
        Liu et al., Conflict-Averse Gradient Descent, NeurIPS 2021, equation 3 and algorithm 1. The update is T times
        theirs, a sum of task gradients instead of a mean, so that ``c = 0`` is uniform scaling at the same learning
        rate. The problem is solved exactly instead of by a general optimizer.

    Example:
        >>> import torch
        >>> CAGrad(c=0.0).weights(torch.eye(2), torch.ones(2), {})[0]
        tensor([1., 1.], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling"})
    c: float = field(default=0.5, metadata={"search": (0.0, 0.95)})

    def __post_init__(self) -> None:
        if not 0.0 <= self.c < 1.0:
            raise ValueError(f"`c` should be in [0, 1). Found `c = {self.c}`.")

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        known_TT, tasks = to_array(gram_TT), len(gram_TT)
        radius = self.c * combined_norm(known_TT, np.full(tasks, 1 / tasks))
        point_T = steepest_hull_point(known_TT, radius)
        length = combined_norm(known_TT, point_T)
        share = tasks * radius / length if length > 0 else 0.0
        return to_tensor(1.0 + share * point_T, like=gram_TT), state
