"""RotoGrad with a cooperative leader."""

from __future__ import annotations

from dataclasses import dataclass, field

from gradops.base import DelegatingMethod
from gradops.methods.rotograd_v1 import RotoGradV1
from gradops.rotation import Rotation


@dataclass(frozen=True, kw_only=True)
class RotoGradCoop(DelegatingMethod):
    """RotoGrad's first version, whose leader, after some steps, descends the tasks' own losses too.

    From step ``cooperative_after`` of its rotation on (``+ rotation(cooperative_after=...)``), a task's rotation moves
    along its alignment loss and its task's loss in equal parts.

    Choose it over ``rotograd_v1`` for long runs, where a rotation that only aligns may leave its task behind.

    Args:
        tau: Strength of the help for slow tasks, in weights and rotations. At least 0.
        lr: Adam's rate for the weights. Above 0.

    Raises:
        ValueError: If ``tau`` is negative or ``lr`` is not positive.

    References:
        Javaloy and Valera, RotoGrad, arXiv 2103.02631, version 1, section 4.3 and equation 10. It counts epochs, this
        method counts steps.
    """

    at_features = True
    reads_losses = True
    tau: float = field(default=1.5, metadata={"search": (0.0, 3.0)})
    lr: float = field(default=0.025, metadata={"search": (1e-3, 0.1)})
    rotation: Rotation | None = Rotation(loss="v1", cooperative_after=500)

    def weigher(self) -> RotoGradV1:
        """RotoGrad's version 1, unchanged."""
        return RotoGradV1(tau=self.tau, lr=self.lr)
