"""The losses of a step, looked at once the next one is under way: a GPU is never waited for between two steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class StepLosses:
    """The losses of one step on their way to the CPU.

    Args:
        step: Number of steps done with it.
        losses_T: Their place on the CPU.
        arrival: The event after their copy; None where they are there.
    """

    step: int
    losses_T: Tensor
    arrival: torch.cuda.Event | None

    @classmethod
    def of(cls, step: int, losses_T: Tensor) -> StepLosses:
        """Start on their way the losses of a step."""
        if losses_T.device.type != "cuda":
            return cls(step, losses_T, None)
        place_T = torch.empty(losses_T.shape, dtype=losses_T.dtype, pin_memory=True)
        place_T.copy_(losses_T, non_blocking=True)
        arrival = torch.cuda.Event()
        arrival.record()
        return cls(step, place_T, arrival)

    def arrived(self) -> Tensor:
        """The losses; this waits for their own step, and for no later one."""
        if self.arrival is not None:
            self.arrival.synchronize()
        return self.losses_T
