"""GradOPS against the paper's algorithm on full gradients, and where its projections vanish."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from gradops.methods import GradOPS, PCGrad
from tests.gradops import reference
from tests.gradops.combining import gradients, weights


@pytest.mark.parametrize("alpha", [-3.0, -1.0, 0.0, 0.5, 2.0])
@pytest.mark.parametrize("tasks", [2, 3, 8])
@pytest.mark.parametrize("common", [-0.3, 0.0, 0.7])
def test_gradops_is_the_papers(alpha: float, tasks: int, common: float) -> None:
    for seed in range(5):
        jac_TP = gradients(tasks, seed, common)
        update_P = weights(GradOPS(alpha=alpha), jac_TP) @ jac_TP
        np.testing.assert_allclose(update_P.numpy(), reference.gradops(jac_TP.numpy(), alpha), rtol=1e-9, atol=1e-10)


def test_gradops_equals_pcgrad_for_two_tasks_at_alpha_zero() -> None:
    for seed in range(20):
        jac_TP = gradients(2, seed)
        torch.testing.assert_close(weights(GradOPS(alpha=0.0), jac_TP), weights(PCGrad(), jac_TP), rtol=1e-12, atol=0)


@pytest.mark.parametrize("angle", [1e-6, 0.1, math.pi / 2, 3.0, math.pi - 1e-3, math.pi - 1e-6])
def test_gradops_equals_pcgrad_at_any_angle(angle: float) -> None:
    jac_TP = torch.tensor([[1.0, 0.0], [3 * math.cos(angle), 3 * math.sin(angle)]], dtype=torch.float64)
    # Near pi the weights are 1 - cos^2 apart from rounding, so they agree to 1e-16 / (pi - angle)^2 at worst.
    torch.testing.assert_close(weights(GradOPS(), jac_TP), weights(PCGrad(), jac_TP), rtol=1e-3, atol=1e-12)


def test_gradops_alpha_moves_weight_between_dominating_and_dominated_tasks() -> None:
    jac_TP = torch.tensor([[5.0, 0.0, 0.2], [-0.5, 1.0, 0.0], [0.1, -0.2, 0.3]], dtype=torch.float64)
    plain_T, dominating_T, dominated_T = (weights(GradOPS(alpha=a), jac_TP) @ jac_TP @ jac_TP.T for a in (0, 1, -1))
    share = [progress_T[0] / progress_T.sum() for progress_T in (dominated_T, plain_T, dominating_T)]
    assert share[0] < share[1] < share[2]


def test_gradops_without_conflict_keeps_every_gradient() -> None:
    jac_TP = gradients(3, 0).abs()
    assert torch.equal(weights(GradOPS(alpha=0.0), jac_TP), torch.ones(3, dtype=torch.float64))


def test_gradops_falls_back_to_mgda_where_every_gradient_is_in_the_span_of_the_others() -> None:
    # Four directions of a half plane, each in conflict with another: two dimensions, so nothing is left of any.
    angle_T = torch.tensor([0.0, 50.0, 100.0, 150.0], dtype=torch.float64).deg2rad()
    jac_TP = torch.stack([angle_T.cos(), angle_T.sin()], dim=1)
    update_P = weights(GradOPS(alpha=-2.0), jac_TP) @ jac_TP
    np.testing.assert_allclose(update_P.numpy(), reference.mgda(jac_TP.numpy()), atol=1e-12)
    assert update_P.norm() > 0.1


def test_gradops_leaves_a_task_without_a_direction_out_of_the_mean() -> None:
    # Tasks 0 and 1 are opposite: nothing is left of either. Task 2 alone moves, at full length, whatever alpha is.
    jac_TP = torch.tensor([[1.0, 0.0], [-2.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    for alpha in (-3.0, 0.0, 2.0):
        update_P = weights(GradOPS(alpha=alpha), jac_TP) @ jac_TP
        torch.testing.assert_close(update_P, torch.tensor([0.0, 3.0], dtype=torch.float64))


def test_gradops_gives_a_zero_gradient_no_weight() -> None:
    jac_TP = torch.cat([gradients(2, 0), torch.zeros(1, 20)])
    alone_T, with_zero_T = weights(GradOPS(alpha=-2.0), jac_TP[:2]), weights(GradOPS(alpha=-2.0), jac_TP)
    torch.testing.assert_close(with_zero_T[:2], alone_T)


def test_gradops_weights_norms_a_million_apart() -> None:
    jac_TP = gradients(3, 4) * torch.tensor([[1.0], [1e3], [1e6]], dtype=torch.float64)
    update_P = (weights(GradOPS(alpha=-2.0), jac_TP) @ jac_TP).numpy()
    np.testing.assert_allclose(update_P, reference.gradops(jac_TP.numpy(), -2.0), rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_gradops_tells_rounding_of_float32_gradients_from_a_direction(seed: int) -> None:
    """Two gradients that are dependent but for float32 rounding: what is left of them must not take the weight."""
    generator = torch.Generator().manual_seed(seed)
    first, noise = torch.randn(2, 20_000, generator=generator)
    jac_TP = torch.stack([first, 1.7 * first, -0.5 * first + noise])
    update_P = weights(GradOPS(alpha=-2.0), jac_TP) @ jac_TP.double()
    assert update_P.norm() == pytest.approx(20_000**0.5, rel=0.02)
    assert (jac_TP.double() @ update_P >= -1e-4 * jac_TP.norm(dim=1) * update_P.norm()).all()


@pytest.mark.parametrize("ratio", [1e3, 1e6, 1e9, 1e12, 1e15])
def test_gradops_is_exact_whatever_the_ratio_of_norms(ratio: float) -> None:
    """Three gradients in conflict with each other: a longer second one changes no projection but its own length."""
    gram_TT = torch.tensor([[1.0, -0.3, -0.2], [-0.3, 1.0, -0.4], [-0.2, -0.4, 1.0]], dtype=torch.float64)
    jac_TP = torch.linalg.cholesky(gram_TT)
    scale_T = torch.tensor([1.0, ratio, 1.0], dtype=torch.float64)
    projected_TP = _orthogonal(jac_TP)
    advance_T = projected_TP.square().sum(1) * scale_T
    weight_T = advance_T.pow(-2.0) / advance_T.pow(-2.0).mean()
    found_T = weights(GradOPS(alpha=-2.0), jac_TP * scale_T[:, None])
    # The update in terms of the projections, where lengths that differ cannot hide each other: lambda = C' w.
    expected_T = torch.linalg.lstsq(jac_TP.T, (weight_T * scale_T) @ projected_TP).solution / scale_T
    torch.testing.assert_close(found_T, expected_T, rtol=1e-9, atol=0)


def _orthogonal(jac_TP: Tensor) -> Tensor:
    """Each gradient less its projection onto the span of the others."""
    left = []
    for i, g in enumerate(jac_TP):
        others = torch.cat([jac_TP[:i], jac_TP[i + 1 :]])
        left.append(g - others.T @ torch.linalg.lstsq(others.T, g[:, None]).solution.squeeze(1))
    return torch.stack(left)
