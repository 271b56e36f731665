"""Points of the hull against their optimality conditions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gradops import hull
from gradops.linalg import gramian


def problem(tasks: int, seed: int) -> Tensor:
    """Gram matrix of gradients whose lengths are up to a million apart."""
    generator = torch.Generator().manual_seed(seed)
    jac_TP = torch.randn(tasks, 40, generator=generator, dtype=torch.float64)
    return gramian(jac_TP * torch.logspace(-3, 3, tasks, dtype=torch.float64)[:, None] + seed * 0.1)


@pytest.mark.parametrize("tasks", [2, 3, 8, 32])
@pytest.mark.parametrize("seed", range(5))
def test_min_norm_point_meets_the_optimality_conditions(tasks: int, seed: int) -> None:
    gram_TT = problem(tasks, seed)
    weights_T = hull.min_norm_point(gram_TT)
    # At the shortest point of the hull no corner is closer to the origin along it; those in use are equal.
    value, product_T = weights_T @ gram_TT @ weights_T, gram_TT @ weights_T
    scale_T = gram_TT.diagonal().sqrt() * gram_TT.diagonal().min().sqrt()
    assert (product_T - value >= -1e-9 * scale_T).all()
    assert ((product_T - value).abs() <= 1e-9 * scale_T)[weights_T > 0].all()


@pytest.mark.parametrize("tasks", [2, 3, 4, 5, 8, 32])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_steepest_hull_point_meets_the_optimality_conditions(tasks: int, seed: int, share: float) -> None:
    gram_TT = gramian(torch.randn(tasks, 40, generator=torch.Generator().manual_seed(seed)).double() + 0.2 * seed)
    mean_T = gram_TT.mean(1)
    radius = share * mean_T.mean().sqrt()
    weights_T = hull.steepest_hull_point(gram_TT, radius)
    length = (weights_T @ gram_TT @ weights_T).sqrt()
    # The slope of the value is the same at every corner in use, and nowhere lower at one that is not.
    slope_T = mean_T + radius * (gram_TT @ weights_T) / length
    value = weights_T @ slope_T
    assert weights_T.sum() == pytest.approx(1.0)
    assert (slope_T - value >= -1e-8 * gram_TT.diagonal()).all()
    assert ((slope_T - value).abs() <= 1e-8 * gram_TT.diagonal())[weights_T > 1e-12].all()


def test_both_ways_to_the_steepest_hull_point_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(10):
        gram_TT = gramian(torch.randn(4, 9, generator=torch.Generator().manual_seed(seed)).double())
        radius = 0.5 * gram_TT.mean().sqrt()
        every_face_T = hull.steepest_hull_point(gram_TT, radius)
        with monkeypatch.context() as patch:
            patch.setattr(hull, "_FEW", 0)
            torch.testing.assert_close(hull.steepest_hull_point(gram_TT, radius), every_face_T, rtol=0, atol=1e-9)
