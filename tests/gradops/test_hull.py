"""Points of the hull against their optimality conditions."""

from __future__ import annotations

import numpy as np
import pytest

from gradops import hull
from tests.gradops.reference import Array

# How far apart the lengths of a problem's gradients are, how many dimensions they span, and what they have in common.
KINDS = {
    "independent": (1.0, 40, 0.0),
    "agreeing": (1.0, 40, 0.7),
    "lengths a million apart": (1e6, 40, 0.1),
    "dependent": (1.0, 2, 0.3),
    "dependent, lengths a thousand apart": (1e3, 2, 0.3),
}


def problem(kind: str, tasks: int, seed: int) -> Array:
    """Gram matrix of random gradients."""
    ratio, columns, common = KINDS[kind]
    generator = np.random.default_rng(seed)
    jac_TP = generator.normal(size=(tasks, columns)) + common * generator.normal(size=columns)
    jac_TP *= np.logspace(0, np.log10(ratio), tasks)[:, None]
    gram_TT: Array = jac_TP @ jac_TP.T
    return gram_TT


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tasks", [1, 2, 3, 4, 5, 8, 32])
def test_min_norm_point_meets_the_optimality_conditions(kind: str, tasks: int) -> None:
    for seed in range(10):
        gram_TT = problem(kind, tasks, seed)
        weights_T = hull.min_norm_point(gram_TT)
        assert weights_T.sum() == pytest.approx(1.0)
        assert (weights_T >= 0).all()
        # At the shortest point of the hull no corner is closer to the origin along it; those in use are equal.
        product_T = gram_TT @ weights_T
        value = weights_T @ product_T
        scale_T = np.sqrt(gram_TT.diagonal() * gram_TT.diagonal().min())
        assert (product_T - value >= -1e-9 * scale_T).all()
        assert (np.abs(product_T - value) <= 1e-9 * scale_T)[weights_T > 0].all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tasks", [1, 2, 3, 4, 5, 8, 32])
@pytest.mark.parametrize("share", [1e-3, 0.1, 0.5, 0.95])
def test_steepest_hull_point_meets_the_optimality_conditions(kind: str, tasks: int, share: float) -> None:
    for seed in range(4):
        gram_TT = problem(kind, tasks, seed)
        length = gram_TT.mean() ** 0.5
        weights_T = hull.steepest_hull_point(gram_TT, share * length)
        assert_steepest(gram_TT, share * length, weights_T, tolerance=1e-9)


def assert_steepest(gram_TT: Array, radius: float, weights_T: Array, tolerance: float) -> None:
    """The slope of the value is the same at every corner in use, and nowhere lower at one that is not."""
    assert weights_T.sum() == pytest.approx(1.0)
    assert (weights_T >= 0).all()
    slope_T = gram_TT.mean(1) + radius * (gram_TT @ weights_T) / np.sqrt(weights_T @ gram_TT @ weights_T)
    value = weights_T @ slope_T
    scale_T = np.sqrt(gram_TT.diagonal() * gram_TT.mean())
    assert (slope_T - value >= -tolerance * scale_T).all()
    assert (np.abs(slope_T - value) <= tolerance * scale_T)[weights_T > 1e-12].all()


def test_both_ways_to_the_steepest_hull_point_agree() -> None:
    for seed in range(10):
        gram_TT = problem("agreeing", 4, seed)
        radius = 0.5 * gram_TT.mean() ** 0.5
        every_face_T = hull.steepest_hull_point(gram_TT, radius)
        searched_T = hull.steepest_hull_point(gram_TT, radius, most_tried=0)
        np.testing.assert_allclose(searched_T, every_face_T, rtol=0, atol=1e-9)
