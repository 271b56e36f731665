"""MGDA-UB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradops.base import DelegatingMethod
from gradops.methods.mgda import MGDA, Normalise


@dataclass(frozen=True, kw_only=True)
class MGDAUB(DelegatingMethod):
    """MGDA on the gradients at the shared representation: an upper bound of its problem, for one backward pass.

    Where the representation's Jacobian has full rank, this update too is zero exactly at Pareto-stationary points. The
    update never conflicts with the gradients at the representation; with those of the parameters it may.

    Choose it for MGDA's update at the price of uniform scaling.

    Args:
        normalise: Normaliser, as for :class:`gradops.methods.mgda.MGDA`, with the lengths of the gradients at the
            representation.

    Raises:
        ValueError: If ``normalise`` is none of the four.

    References:
        Sener and Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018, section 3.3.
    """

    claims: ClassVar[frozenset[str]] = MGDA.claims
    at_features: ClassVar[bool] = True
    reads_losses: ClassVar[bool] = True
    normalise: Normalise = "none"

    def weigher(self) -> MGDA:
        """MGDA."""
        return MGDA(normalise=self.normalise)
