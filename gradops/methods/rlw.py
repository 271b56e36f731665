"""Random loss weighting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gradops.base import GramianMethod, State, generator_at
from gradops.linalg import to_device


@dataclass(frozen=True, kw_only=True)
class RLW(GramianMethod):
    r"""Weights drawn anew at every step: T times the softmax of standard normal numbers.

    Their mean is uniform scaling; their noise is all that the method adds. The draws come from a generator kept in the
    state.

    Choose it as a floor: a method that does not beat random weights has shown nothing about its weights.

    References:
        Lin et al., Reasonable Effectiveness of Random Weighting, TMLR 2022, algorithm 1 with the normal distribution.
        The weights sum to T instead of 1.
    """

    claims: ClassVar[frozenset[str]] = frozenset({"linear_under_scaling"})
    needs_gramian: ClassVar[bool] = False

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """State with the generator's current position."""
        del num_tasks
        return {"generator": generator.get_state()}

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del gram_TT
        generator = generator_at(state["generator"])
        draws_T = torch.randn(len(losses_T), generator=generator, dtype=torch.float64)
        weights_T = len(draws_T) * draws_T.softmax(0)
        return to_device(weights_T, like=losses_T), {"generator": generator.get_state()}
