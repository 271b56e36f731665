"""RotoGrad's first version."""

from __future__ import annotations

from dataclasses import dataclass, field

from gradops.base import DelegatingMethod
from gradops.methods.gradnorm import GradNorm
from gradops.rotation import Rotation


@dataclass(frozen=True, kw_only=True)
class RotoGradV1(DelegatingMethod):
    r"""GradNorm's weights at the shared representation, and rotations towards one direction for all tasks.

    The weights bring :math:`\omega_k \|G_k\|` to :math:`\|G\| s_k^\tau` with :math:`G` the combined gradient; the
    rotations bring every task's gradients to their sum stretched likewise (:class:`gradops.rotation.Rotation` with the
    loss ``"v1"``).

    Choose it over ``rotograd`` where a slow task should be helped by a chosen amount, tau.

    Args:
        tau: Strength of the help for slow tasks, in weights and rotations. At least 0.
        lr: Adam's rate for the weights. Above 0.

    Raises:
        ValueError: If ``tau`` is negative or ``lr`` is not positive.

    References:
        Javaloy and Valera, RotoGrad, arXiv 2103.02631, version 1, equations 6 to 8. The weights have GradNorm's
        optimizer, the rotations the leader's.
    """

    at_features = True
    reads_losses = True
    tau: float = field(default=1.5, metadata={"search": (0.0, 3.0)})
    lr: float = field(default=0.025, metadata={"search": (1e-3, 0.1)})
    rotation: Rotation | None = Rotation(loss="v1")

    def weigher(self) -> GradNorm:
        """GradNorm with the combined length as its target."""
        return GradNorm(tau=self.tau, lr=self.lr, target="combined")
