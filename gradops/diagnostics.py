"""The effect of one step on the task gradients, derived lazily from their Gram matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gradops import linalg
from gradops.linalg import to_array, to_tensor


@dataclass(frozen=True)
class StepReport:
    """Losses, weights and, if one was formed, the Gram matrix of one step.

    Args:
        losses_T: Task losses, detached; on the CPU where anything else of the step was, as every Gram matrix is.
        weights_T: Weights of the task gradients in the shared update, float64; NaN for a method that combines them
            element by element and has none.
        gram_TT: Gram matrix from which the weights follow, float64; None where the method did not need one.
        update_T: For a method without weights, the update's products with the T task gradients and, last, with itself.
        exact_TT: Gram matrix of the gradients of everything shared, if it was formed and differs from ``gram_TT``.
    """

    losses_T: Tensor
    weights_T: Tensor
    gram_TT: Tensor | None
    update_T: Tensor | None = None
    exact_TT: Tensor | None = None

    @property
    def known_gram_TT(self) -> Tensor:
        """The most exact Gram matrix of the step.

        Raises:
            ValueError: If the step formed none.
        """
        if self.gram_TT is None:
            raise ValueError("This step formed no Gram matrix. Pass `diagnose=True` to `step` to have one.")
        return self.gram_TT if self.exact_TT is None else self.exact_TT

    @property
    def norm_T(self) -> Tensor:
        """Length of each task gradient."""
        return to_tensor(linalg.norms(to_array(self.known_gram_TT)), like=self.known_gram_TT)

    @property
    def cosine_TT(self) -> Tensor:
        """Cosine of each pair of task gradients."""
        return to_tensor(linalg.cosines(to_array(self.known_gram_TT)), like=self.known_gram_TT)

    @property
    def conflict_rate(self) -> Tensor:
        """Share of task pairs whose gradients have a negative product, in [0, 1]; 0 for one task."""
        tasks = len(self.known_gram_TT)
        pairs = tasks * (tasks - 1)
        return (self.known_gram_TT < 0).sum().double() / max(pairs, 1)

    @property
    def product_T(self) -> Tensor:
        """Product of the shared update with each task gradient: negative where the step hurts a task."""
        return self.known_gram_TT @ self.weights_T if self.update_T is None else self.update_T[:-1]

    @property
    def update_norm(self) -> Tensor:
        """Length of the shared update before clipping and the optimizer's own scaling."""
        squared = self.product_T @ self.weights_T if self.update_T is None else self.update_T[-1]
        return squared.clamp(min=0).sqrt()

    @property
    def update_share(self) -> Tensor:
        """Length of the shared update as a share of the plain sum of the task gradients; 0 where that is zero."""
        return _share(self.update_norm, self.known_gram_TT.sum().clamp(min=0).sqrt())

    @property
    def update_cosine_T(self) -> Tensor:
        """Cosine of the shared update with each task gradient; 0 where one of the two is zero."""
        return _share(self.product_T, self.norm_T * self.update_norm)

    @property
    def advance_T(self) -> Tensor:
        """GradOPS' r: the update's projection on each task gradient, over their mean size. Above 1 a task dominates."""
        projection_T = _share(self.product_T, self.norm_T)
        return _share(projection_T, projection_T.abs().mean())

    @property
    def hurts(self) -> Tensor:
        """Share of the tasks whose gradient the update conflicts with, beyond float32 rounding, in [0, 1]."""
        return (self.update_cosine_T < -linalg.VANISHING_FLOAT32).double().mean()

    @property
    def gram_cosine_error(self) -> Tensor:
        """Mean absolute error, over task pairs, of the cosines that the method saw, in [0, 2].

        0 where the method saw the exact cosines, where these are unknown, and for one task.
        """
        if self.gram_TT is None or self.exact_TT is None:
            return torch.zeros((), dtype=torch.float64)
        tasks = len(self.gram_TT)
        off_TT = linalg.cosines(to_array(self.gram_TT)) - linalg.cosines(to_array(self.exact_TT))
        return torch.tensor(abs(off_TT).sum() / max(tasks * (tasks - 1), 1), dtype=torch.float64)

    @property
    def gram_norm_ratio_T(self) -> Tensor:
        """Length of each task gradient as the method saw it, over the exact length; 1 where it saw the exact one."""
        if self.gram_TT is None or self.exact_TT is None:
            return torch.ones_like(self.weights_T)
        return _share(self.gram_TT.diagonal().clamp(min=0).sqrt(), self.norm_T)

    def scalars(self, tasks: list[str]) -> dict[str, float]:
        """The report as named numbers, for a tracker."""
        vectors = {"norm": self.norm_T, "update_cosine": self.update_cosine_T, "advance": self.advance_T}
        vectors |= {"weight": self.weights_T} if self.update_T is None else {}
        values = {
            f"{name}.{task}": value
            for name, vector_T in vectors.items()
            for task, value in zip(tasks, vector_T.tolist(), strict=True)
        }
        cosines = self.cosine_TT.tolist()
        for i, first in enumerate(tasks):
            for j, second in enumerate(tasks[:i]):
                values[f"cosine.{second}.{first}"] = cosines[i][j]
        names = ["conflict_rate", "hurts", "update_norm", "update_share"]
        if self.exact_TT is not None:
            names.append("gram_cosine_error")
            values |= {f"gram_norm_ratio.{t}": r for t, r in zip(tasks, self.gram_norm_ratio_T.tolist(), strict=True)}
        return values | {name: float(getattr(self, name)) for name in names}


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """``part / whole``, 0 where the whole is 0."""
    return torch.where(whole > 0, part / whole, 0.0)
