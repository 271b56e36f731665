"""Changes of any method's weights: a bound on them, and their moving average."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gradops.linalg import to_device


@dataclass(frozen=True)
class Bound:
    r"""A limit on the size of the weights: :math:`|\lambda_i| \le c`, whatever the method says.

    Methods that bring gradients to one length divide by the length of each. A rare task's gradient can be so short in a
    batch (no positive row, or a tower that has learned it) that its weight is 1e7: its noise then leads the update.
    The papers leave that open: RotoGrad's common length follows the tasks that have shrunk least, its authors' package
    and others replace a length below 1e-8 or 1e-15, and Nash-MTL bounds the update's length, not a weight. Under
    uniform scaling every weight is 1. A bounded update may conflict with a task where the method's own would not.

    Args:
        most: The largest size of a weight, c. Above 0.

    Raises:
        ValueError: If ``most`` is not a finite number above 0.
    """

    most: float = field(default=10.0, metadata={"search": (1.0, 100.0)})

    def __post_init__(self) -> None:
        if not 0.0 < self.most < float("inf"):
            raise ValueError(f"`bound` should be a finite number above 0. Found `{self.most}`.")

    def __str__(self) -> str:
        return f"bound({self.most!r})"

    def of(self, weights_T: Tensor) -> Tensor:
        """The weights, cut off at the bound."""
        return weights_T.clamp(-self.most, self.most)


@dataclass(frozen=True)
class Smooth:
    r"""A moving average of the weights: :math:`\lambda_t = \alpha \lambda_{t-1} + (1 - \alpha) \hat\lambda_t`.

    Weights that follow one batch's gradients are correlated with them, so that the expected update is biased; averaged
    over steps they are nearly a constant. It costs nothing, and serves methods whose weights jump from step to step.

    Args:
        share: The share of the average that stays, alpha. In [0, 1); 0 is the method alone.

    Raises:
        ValueError: If ``share`` is outside [0, 1).

    References:
        Zhou et al., On the Convergence of Stochastic Multi-Objective Gradient Manipulation and Beyond, NeurIPS 2022
        (CR-MOGM). The average starts at the first step's weights, as TorchJD's does, and its share is
        constant; the paper's corollary 1 lets it rise to 1 as the learning rate falls. A weight that is averaged may
        conflict with a task where the step's own would not.
    """

    share: float = field(default=0.9, metadata={"search": (0.5, 0.99)})

    def __post_init__(self) -> None:
        if not 0.0 <= self.share < 1.0:
            raise ValueError(f"`smooth` should be in [0, 1). Found `{self.share}`.")

    def __str__(self) -> str:
        return f"smooth({self.share!r})"

    def of(self, weights_T: Tensor, before_T: Tensor) -> Tensor:
        """The average with this step's weights; ``before_T`` is infinite before the first step."""
        before_T = to_device(before_T, like=weights_T)
        return torch.where(before_T.isinf(), weights_T, self.share * before_T + (1 - self.share) * weights_T)
