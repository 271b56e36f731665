"""Pareto-optimal points and the hypervolume below them; higher is better in every column."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import ge


def pareto_mask(points: Sequence[Sequence[float]]) -> list[bool]:
    """Whether each point is Pareto-optimal: no other is as high in every column and higher in some column.

    Equal points are either all optimal or all not.
    """
    return [not any(dominates(other, point) for other in points) for point in points]


def hypervolume(points: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """Volume above a reference and below any of the points; a point that is not above the reference adds nothing.

    Each point adds its box less the part that later points have in it, whose boxes are intersected with it first: fast
    enough for tens of points, of eight columns too.

    References:
        While, Bradstreet, Barone, `A fast way of calculating exact hypervolumes
        <https://doi.org/10.1109/TEVC.2010.2077298>`_, 2012.
    """
    boxes = [tuple(value - low for value, low in zip(point, reference, strict=True)) for point in points]
    return _volume([box for box in boxes if min(box, default=0.0) > 0])


def contribution(point: Sequence[float], others: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume that a point adds to that of others: 0 if another point is at least as high in every column."""
    return hypervolume([*others, point], reference) - hypervolume(others, reference)


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether a point is as high as another in every column and higher in some column."""
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def _volume(boxes: Sequence[tuple[float, ...]]) -> float:
    """Volume of the union of boxes, each between the origin and a point above it."""
    sizes = sorted(_outermost(boxes), reverse=True)
    # Later boxes are the shorter ones in the first column: fewer of them are left once they are intersected.
    return sum(
        prod(box) - _volume([tuple(map(min, box, other)) for other in sizes[place + 1 :]])
        for place, box in enumerate(sizes)
    )


def _outermost(boxes: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """The boxes that lie in no other one, each once."""
    distinct = dict.fromkeys(boxes)
    return [box for box in distinct if not any(other != box and all(map(ge, other, box)) for other in distinct)]
