"""Jacobians on which the promises of methods are hard to keep."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def randn(tasks: int, columns: int, seed: int) -> Tensor:
    return torch.randn(tasks, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def near(angle: float) -> Tensor:
    """Three unit gradients, two of them at an angle in radians."""
    return torch.tensor([[1.0, 0.0, 0.0], [math.cos(angle), math.sin(angle), 0.0], [0.1, -0.3, 1.0]]).double()


HARD_MATRICES = {
    "one task": randn(1, 5, 0),
    "two": randn(2, 5, 1),
    "three": randn(3, 50, 2),
    "eight": randn(8, 50, 3),
    "more tasks than columns": randn(8, 3, 4),
    "all zero": torch.zeros(3, 4, dtype=torch.float64),
    "one zero": torch.cat([randn(2, 5, 5), torch.zeros(1, 5)]),
    "rank one": torch.tensor([[1.0], [2.0], [3.0]]).double() * randn(1, 6, 6),
    "rank deficient": torch.cat([randn(2, 6, 7), randn(2, 6, 7).sum(0, keepdim=True)]),
    "opposite": torch.cat([randn(1, 6, 8), -randn(1, 6, 8)]),
    "opposite and another": torch.cat([randn(1, 6, 9), -2 * randn(1, 6, 9), randn(1, 6, 10)]),
    "equal": randn(1, 6, 11).repeat(3, 1),
    "nearly parallel": near(1e-6),
    "nearly opposite": near(math.pi - 1e-6),
    # Nothing is left of any but rounding, which large coefficients magnify.
    "three in a plane": randn(3, 2, 143),
    "three in a plane, two nearly parallel": randn(3, 2, 1),
    "four in three dimensions": randn(4, 3, 48),
    "tiny": randn(3, 10, 12) * 1e-10,
    "huge": randn(3, 10, 13) * 1e15,
    "norms a million apart": randn(3, 10, 14) * torch.tensor([[1.0], [1e3], [1e6]]),
    "scales from 1e-10 to 1e15": randn(4, 10, 15) * torch.tensor([[1e-10], [1.0], [1e5], [1e15]]),
}
