"""RotoGrad as its first version has it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.methods.gradnorm import GradNorm
from gradops.rotation import Rotation


@dataclass(frozen=True, kw_only=True)
class RotoGradV1(GramianMethod):
    r"""GradNorm's weights at the shared representation, and rotations towards one direction for all tasks.

    The weights bring :math:`\omega_k \|G_k\|` to :math:`\|G\| s_k^\tau` with :math:`G` the combined gradient; the
    rotations bring every task's gradients to their sum stretched likewise (:class:`gradops.rotation.Rotation` with the
    loss ``"v1"``).

    Choose it over ``rotograd`` where a slow task should be helped by a chosen amount, tau.

    Args:
        tau: How strongly slow tasks are helped, in weights and rotations. At least 0.
        lr: Adam's rate for the weights. Above 0.

    Raises:
        ValueError: If ``tau`` is negative or ``lr`` is not positive.

    References:
        Javaloy and Valera, RotoGrad, arXiv 2103.02631, version 1, equations 6 to 8. The weights have an optimizer of
        their own, GradNorm's, beside the leader's.
    """

    at_features = True
    tau: float = field(default=1.5, metadata={"search": (0.0, 3.0)})
    lr: float = field(default=0.025, metadata={"search": (1e-3, 0.1)})
    rotation: Rotation | None = Rotation(loss="v1")

    def __post_init__(self) -> None:
        self._weigher()

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """As GradNorm's."""
        return self._weigher().init(num_tasks, generator)

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        return self._weigher().weights(gram_TT, losses_T, state)

    def pace(self, losses_T: Tensor, state: State) -> Tensor:
        """``s_k^tau``."""
        return self._weigher().pace(losses_T, state)

    def _weigher(self) -> GradNorm:
        return GradNorm(tau=self.tau, lr=self.lr, target="combined")
