"""The transfers between host and device, each with the line of the product that asked for it."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[2]
_PRODUCT = tuple(
    f"{ROOT / package}/" for package in ("features", "gradops", "models", "pipeline", "jobs", "benchmarks")
)
_TESTS = f"{ROOT / 'tests'}/"


@dataclass(frozen=True)
class Transfer:
    """A moment at which host and device meet.

    Args:
        where: The innermost function of the product on the stack, as ``pipeline/training/trainer.py:_train_on``; that
            of a test where no product is on it.
        why: The operation, or the reason why the host waits.
        waits: Whether the host waits for everything that the device still has to do.
    """

    where: str
    why: str
    waits: bool


@dataclass
class Log:
    """All transfers, in order."""

    transfers: list[Transfer] = field(default_factory=list)

    def add(self, why: str, *, waits: bool) -> None:
        """Record a transfer of the present line."""
        self.transfers.append(Transfer(_caller(), why, waits))

    @property
    def waits(self) -> Counter[str]:
        """The number of waits of each function of the product."""
        return Counter(transfer.where for transfer in self.transfers if transfer.waits)

    def clear(self) -> None:
        """Forget all transfers so far."""
        self.transfers.clear()


def _caller() -> str:
    frame: FrameType | None = sys._getframe(2)
    of_test = "?"
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_PRODUCT):
            return _named(frame)
        if of_test == "?" and file.startswith(_TESTS) and Path(file).name.startswith("test_"):
            of_test = _named(frame)
        frame = frame.f_back
    return of_test


def _named(frame: FrameType) -> str:
    """File and function of a frame, without what is inside the function: comprehensions, lambdas."""
    file = Path(frame.f_code.co_filename).relative_to(ROOT)
    return f"{file}:{frame.f_code.co_qualname.partition('.<locals>')[0]}"
