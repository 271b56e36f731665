"""GradOPS-static."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.linalg import to_array, to_tensor
from gradops.methods.gradops import orthogonalise
from gradops.methods.static import Static


@dataclass(frozen=True, kw_only=True)
class GradOPSStatic(GramianMethod):
    """GradOPS' orthogonal gradients with weights given once.

    Choose it for a known trade-off that should be reached without conflict.

    Args:
        weight: One weight a task, in the order of the tasks, each at least 0 and finite; empty for 1 each, which is
            GradOPS with alpha 0. The paper draws them on a grid with sum T.

    Raises:
        ValueError: If a weight is negative or not finite, or the number of weights is not the number of tasks.

    References:
        Zhu et al., GradOPS, WSDM 2025, section 4.4. Where every modified gradient vanishes the update is zero: unlike
        GradOPS, this method does not fall back to MGDA.
    """

    claims: ClassVar[frozenset[str]] = frozenset({"never_conflicting", "linear_under_scaling"})
    weight: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        Static(weight=self.weight)

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        known_TT = to_array(gram_TT)
        weight_T, _ = Static(weight=self.weight).weights(gram_TT, losses_T, state)
        modified_TT = orthogonalise(known_TT, known_TT.min(axis=1) < 0)
        return to_tensor(to_array(weight_T) @ modified_TT, like=gram_TT), state
