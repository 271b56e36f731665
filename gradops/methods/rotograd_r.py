"""RotoGrad-R: the rotations alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.methods.uniform import Uniform
from gradops.rotation import Rotation


@dataclass(frozen=True, kw_only=True)
class RotoGradR(GramianMethod):
    """The plain sum of task gradients that are rotated until they align, each at its own length.

    Choose it where the lengths of the gradients are as they should be and only their directions conflict.

    References:
        Javaloy and Valera, RotoGrad, ICLR 2022, the ablation "rotate only". The same as uniform scaling with rotations.
    """

    claims: ClassVar[frozenset[str]] = Uniform.claims
    needs_gramian: ClassVar[bool] = False
    rotation: Rotation | None = Rotation()

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        return Uniform().weights(gram_TT, losses_T, state)
