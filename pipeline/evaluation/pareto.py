"""Pareto-optimal points and the hypervolume below them; higher is better in every column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]


def pareto_mask(points: Sequence[Sequence[float]]) -> list[bool]:
    """Whether each point is Pareto-optimal: no other is as high in every column and higher in some column.

    Equal points are either all optimal or all not.
    """
    return [not any(_dominates(other, point) for other in points) for point in points]


def hypervolume(points: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """Volume above a reference and below any of the points; a point that is not above the reference adds nothing.

    It slices along the first column, so n points of T columns cost about n^(T-1): fast enough for tens of points.
    """
    point_NT = np.asarray(points, dtype=np.float64).reshape(-1, len(reference)) - np.asarray(reference)
    return _volume(point_NT[(point_NT > 0).all(axis=1)])


def contribution(point: Sequence[float], others: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume that a point adds to that of others: 0 if another point is at least as high in every column."""
    return hypervolume([*others, point], reference) - hypervolume(others, reference)


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def _volume(point_NT: Points) -> float:
    """Volume of the union of the boxes between the origin and each point; all points are above the origin."""
    if not len(point_NT):
        return 0.0
    if point_NT.shape[1] == 1:
        return float(point_NT.max())
    sorted_NT = point_NT[np.argsort(point_NT[:, 0])]
    width_N = np.diff(sorted_NT[:, 0], prepend=0.0)
    return sum(float(width) * _volume(sorted_NT[i:, 1:]) for i, width in enumerate(width_N) if width > 0)
