"""The rows and steps that a step's Gram matrix is measured on: how closely the conflict of tasks is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Measure = Literal["parameters", "features"]


@dataclass(frozen=True, kw_only=True)
class GramEstimator:
    """The measurement of a step's Gram matrix: exact, or on fewer rows or steps. The update is that of the whole batch.

    Args:
        measure: ``"parameters"`` is exact, the Gram matrix of the gradients of everything shared, tables included;
            ``"features"`` takes that of the cotangents at the shared representation ("-UB" in the literature) and
            needs one backward pass through the shared part instead of T.
        share: Share of the batch's rows, its first ones, that the matrix is taken from, in (0, 1]. Below 1 an
            approximation: its products are scaled to those of all rows, its norms inflated by the noise of fewer.
        every: Steps that one matrix serves, from 1 up. Above 1 an approximation: an older matrix stands for this one's.

    Raises:
        ValueError: If one is outside its range, or an approximation is asked for where it would save nothing.
    """

    measure: Measure = "parameters"
    share: float = 1.0
    every: int = 1

    def __post_init__(self) -> None:
        measures = " or ".join(f'"{name}"' for name in get_args(Measure))
        saves = self.measure != "features" or (self.share == 1 and self.every == 1)
        problems = [
            (self.measure in get_args(Measure), f"`measure` should be {measures}. Found `{self.measure}`."),
            (0 < self.share <= 1, f"`share` should be in (0, 1]. Found `share = {self.share}`."),
            (self.every >= 1, f"`every` should be at least 1. Found `every = {self.every}`."),
            (
                saves,
                "`share` and `every` should be 1 at the features, where they save nothing. "
                f"Found {self.share} and {self.every}.",
            ),
        ]
        if found := [message for holds, message in problems if not holds]:
            raise ValueError(" ".join(found))

    def rows(self, batch: int) -> int:
        """Rows of a batch that the matrix is taken from."""
        return min(batch, max(1, round(self.share * batch)))
