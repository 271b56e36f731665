"""The front and the volume under it, against counting by hand."""

from __future__ import annotations

from itertools import combinations
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.pareto import contribution, hypervolume, pareto_mask

columns = st.shared(st.integers(1, 4), key="columns")
points = columns.flatmap(lambda n: st.lists(st.lists(st.integers(-1, 5), min_size=n, max_size=n), max_size=7))


def union(boxes: list[list[int]]) -> int:
    """Volume of a union of boxes from the origin, by inclusion and exclusion."""
    boxes = [box for box in boxes if min(box) > 0]
    return sum(
        (-1) ** (size + 1) * prod(map(min, zip(*some, strict=True)))
        for size in range(1, len(boxes) + 1)
        for some in combinations(boxes, size)
    )


@given(points, columns)
def test_the_volume_is_that_of_the_union_of_the_boxes(points: list[list[int]], columns: int) -> None:
    assert hypervolume(points, [0.0] * columns) == pytest.approx(union(points))


@given(points)
def test_the_front_is_what_no_other_beats(points: list[list[int]]) -> None:
    def beats(one: list[int], other: list[int]) -> bool:
        return one != other and all(a >= b for a, b in zip(one, other, strict=True))

    assert pareto_mask(points) == [not any(beats(other, point) for other in points) for point in points]


@given(points, columns)
def test_a_point_behind_another_adds_nothing(points: list[list[int]], columns: int) -> None:
    for i, point in enumerate(points):
        others = points[:i] + points[i + 1 :]
        added = contribution(point, others, [0.0] * columns)
        assert added >= -1e-9
        if any(all(a <= b for a, b in zip(point, other, strict=True)) for other in others):
            assert added == pytest.approx(0)


def test_the_volume_is_counted_from_the_reference() -> None:
    assert hypervolume([[0.9, 0.7], [0.6, 0.8], [0.4, 0.99]], [0.5, 0.5]) == pytest.approx(0.4 * 0.2 + 0.1 * 0.1)
