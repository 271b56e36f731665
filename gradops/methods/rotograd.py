"""RotoGrad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradops.base import DelegatingMethod
from gradops.methods.rotograd_scale import RotoGradScale
from gradops.rotation import Rotation


@dataclass(frozen=True, kw_only=True)
class RotoGrad(DelegatingMethod):
    """Task gradients at the shared representation brought to one length, and rotated until they align.

    The weights are those of :class:`gradops.methods.rotograd_scale.RotoGradScale`, the rotations those of
    :class:`gradops.rotation.Rotation` with the loss ``"iclr"``.

    Its weights too have no limit where a task's gradient vanishes; ``+ bound(10)`` sets one.

    Choose it where tasks of different scale pull the representation in different directions and a rotation costs
    little compared with the network.

    References:
        Javaloy and Valera, RotoGrad, ICLR 2022, algorithm 1.
    """

    claims: ClassVar[frozenset[str]] = RotoGradScale.claims
    at_features: ClassVar[bool] = True
    rotation: Rotation | None = Rotation()

    def weigher(self) -> RotoGradScale:
        """RotoGrad's scaling."""
        return RotoGradScale()
