"""What one step did to the task gradients. Everything is derived from the Gram matrix and costs nothing unread."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gradops import linalg


@dataclass(frozen=True)
class StepReport:
    """Losses, weights and, where it was formed, the Gram matrix of one step.

    Args:
        losses_T: Task losses, detached.
        weights_T: Weights of the task gradients in the shared update, float64.
        gram_TT: Gram matrix that the weights came from, float64; None where the method did not need one.
    """

    losses_T: Tensor
    weights_T: Tensor
    gram_TT: Tensor | None

    @property
    def known_gram_TT(self) -> Tensor:
        """The Gram matrix.

        Raises:
            ValueError: If the step formed none.
        """
        if self.gram_TT is None:
            raise ValueError("This step formed no Gram matrix. Pass `diagnose=True` to `step` to have one.")
        return self.gram_TT

    @property
    def norm_T(self) -> Tensor:
        """Length of each task gradient."""
        return linalg.norms(self.known_gram_TT)

    @property
    def cosine_TT(self) -> Tensor:
        """Cosine of each pair of task gradients."""
        return linalg.cosines(self.known_gram_TT)

    @property
    def conflict_rate(self) -> Tensor:
        """Share of task pairs whose gradients have a negative product, in [0, 1]; 0 for one task."""
        tasks = len(self.known_gram_TT)
        pairs = tasks * (tasks - 1)
        return (self.known_gram_TT < 0).sum().double() / max(pairs, 1)

    @property
    def update_norm(self) -> Tensor:
        """Length of the shared update ``sum_i weights_i g_i`` before clipping and the optimizer's own scaling."""
        return linalg.combined_norm(self.known_gram_TT, self.weights_T)

    @property
    def update_cosine_T(self) -> Tensor:
        """Cosine of the shared update with each task gradient: negative where the step hurts a task."""
        product_T = self.known_gram_TT @ self.weights_T
        return product_T * linalg.inverse(self.norm_T * self.update_norm)

    def scalars(self, tasks: list[str]) -> dict[str, float]:
        """The report as named numbers, for a tracker."""
        values = {f"weight.{t}": float(v) for t, v in zip(tasks, self.weights_T, strict=True)}
        values |= {f"norm.{t}": float(v) for t, v in zip(tasks, self.norm_T, strict=True)}
        values |= {f"update_cosine.{t}": float(v) for t, v in zip(tasks, self.update_cosine_T, strict=True)}
        for i, first in enumerate(tasks):
            for j, second in enumerate(tasks[:i]):
                values[f"cosine.{second}.{first}"] = float(self.cosine_TT[i, j])
        return values | {"conflict_rate": float(self.conflict_rate), "update_norm": float(self.update_norm)}
