"""The part of an epoch that has been trained so far."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class EpochSoFar:
    """The unfinished epoch so far.

    Args:
        losses_T: Sum of the losses of its steps.
        steps: Number of its steps.
        seconds: Their duration.
        diagnostics: As in :class:`pipeline.runs.run.Epoch`.
    """

    losses_T: Tensor
    steps: int = 0
    seconds: float = 0.0
    diagnostics: dict[int, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, tasks: int) -> EpochSoFar:
        """The epoch before its first step."""
        return cls(torch.zeros(tasks, dtype=torch.float64))
