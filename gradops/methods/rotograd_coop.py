"""RotoGrad with a cooperative leader."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.methods.rotograd_v1 import RotoGradV1
from gradops.rotation import Rotation


@dataclass(frozen=True, kw_only=True)
class RotoGradCoop(GramianMethod):
    """RotoGrad's first version, whose leader after a while descends the tasks' own losses too.

    From step ``cooperative_after`` of its rotation on (``+ rotation(cooperative_after=...)``), a task's rotation moves
    along its alignment loss and its task's loss in equal parts.

    Choose it over ``rotograd_v1`` for long runs, where a rotation that only aligns may leave its task behind.

    Args:
        tau: How strongly slow tasks are helped, in weights and rotations. At least 0.
        lr: Adam's rate for the weights. Above 0.

    Raises:
        ValueError: If ``tau`` is negative or ``lr`` is not positive.

    References:
        Javaloy and Valera, RotoGrad, arXiv 2103.02631, version 1, section 4.3 and equation 10, which counts epochs
        where this counts steps.
    """

    at_features = True
    tau: float = field(default=1.5, metadata={"search": (0.0, 3.0)})
    lr: float = field(default=0.025, metadata={"search": (1e-3, 0.1)})
    rotation: Rotation | None = Rotation(loss="v1", cooperative_after=500)

    def __post_init__(self) -> None:
        self._competitive()

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """As GradNorm's."""
        return self._competitive().init(num_tasks, generator)

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        return self._competitive().weights(gram_TT, losses_T, state)

    def pace(self, losses_T: Tensor, state: State) -> Tensor:
        """``s_k^tau``."""
        return self._competitive().pace(losses_T, state)

    def _competitive(self) -> RotoGradV1:
        return RotoGradV1(tau=self.tau, lr=self.lr)
