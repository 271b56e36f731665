"""RotoGrad-R: the rotations alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradops.base import DelegatingMethod
from gradops.methods.uniform import Uniform
from gradops.rotation import Rotation


@dataclass(frozen=True, kw_only=True)
class RotoGradR(DelegatingMethod):
    """The plain sum of task gradients that are rotated until they align, each at its own length.

    Choose it where the lengths of the gradients are right and only their directions conflict.

    References:
        Javaloy and Valera, RotoGrad, ICLR 2022, the ablation "rotate only". The same as uniform scaling with rotations.
    """

    claims: ClassVar[frozenset[str]] = Uniform.claims
    needs_gramian: ClassVar[bool] = False
    rotation: Rotation | None = Rotation()

    def weigher(self) -> Uniform:
        """Uniform scaling."""
        return Uniform()
