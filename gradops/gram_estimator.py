"""The precision of a step's Gram matrix: the rows and steps on which the conflict of tasks is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

Measure = Literal["parameters", "features"]


@dataclass(frozen=True, kw_only=True)
class GramEstimator:
    """The measurement of a step's Gram matrix: exact, or on fewer rows or steps. Updates always use the whole batch.

    Args:
        measure: ``"parameters"`` is exact, the Gram matrix of the gradients of everything shared, tables included;
            ``"features"`` takes that of the cotangents at the shared representation ("-UB" in the literature) and
            needs one backward pass through the shared part instead of T.
        share: Share of the batch's rows, the first ones, from which the matrix is taken, in (0, 1]. Below 1 it is an
            approximation: products are scaled to all rows, and noise of the smaller sample inflates the norms.
        every: Number of steps that use one matrix, at least 1. Above 1 it is an approximation by an older matrix.
        smoothing: Decay of a moving average of the matrices, in [0, 1): a new one counts ``1 - smoothing``, and the
            first ones count equally. 0 for none. It steadies the noise that a small ``share`` brings; on exact matrices
            it is an approximation by older ones.

    Raises:
        ValueError: If an option is outside its range, or approximates where that would save nothing.
    """

    measure: Measure = "parameters"
    share: float = 1.0
    every: int = 1
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        measures = " or ".join(f'"{name}"' for name in get_args(Measure))
        saves = self.measure != "features" or (self.share == 1 and self.every == 1)
        problems = [
            (self.measure in get_args(Measure), f"`measure` should be {measures}. Found `{self.measure}`."),
            (0 < self.share <= 1, f"`share` should be in (0, 1]. Found `share = {self.share}`."),
            (self.every >= 1, f"`every` should be at least 1. Found `every = {self.every}`."),
            (0 <= self.smoothing < 1, f"`smoothing` should be in [0, 1). Found `smoothing = {self.smoothing}`."),
            (
                saves,
                "`share` and `every` should be 1 at the features, where they save nothing. "
                f"Found {self.share} and {self.every}.",
            ),
        ]
        if found := [message for holds, message in problems if not holds]:
            raise ValueError(" ".join(found))

    def rows(self, batch: int) -> int:
        """Number of a batch's rows from which the matrix is taken."""
        return min(batch, max(1, round(self.share * batch)))

    def averaged(self, gram_TT: Tensor, before_TT: Tensor | None, count: int) -> Tensor:
        """The moving average after a new matrix.

        Args:
            gram_TT: The new matrix.
            before_TT: The average of the matrices before it; None if there is none.
            count: Number of these.
        """
        if before_TT is None or not self.smoothing:
            return gram_TT
        return before_TT.lerp(gram_TT, (1 - self.smoothing) / (1 - self.smoothing ** (count + 1)))
