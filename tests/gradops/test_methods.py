"""Each method but GradOPS against its paper's algorithm on full gradients, and its edge cases."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from gradops.linalg import gramian
from gradops.methods import (
    DW,
    IMTLG,
    MGDA,
    MGDAUB,
    CAGrad,
    GradNorm,
    GradOPS,
    GradOPSStatic,
    GradVac,
    PCGrad,
    PCGradDW,
    Static,
)
from gradops.methods.mgda import Normalise
from gradops.methods.pcgrad import Part
from tests.gradops import reference
from tests.gradops.combining import gradients, weights


@pytest.mark.parametrize("tasks", [2, 3, 4])
def test_pcgrad_is_the_papers_in_some_order(tasks: int) -> None:
    for seed in range(3):
        jac_TP = gradients(tasks, seed, common=-0.5)
        update_P = (weights(PCGrad(), jac_TP) @ jac_TP).numpy()
        distance = min(np.abs(update_P - outcome).max() for outcome in reference.pcgrad_outcomes(jac_TP.numpy()))
        assert distance < 1e-12


def test_pcgrad_draws_every_order_and_never_the_same_twice_in_a_row_by_rule() -> None:
    jac_TP = torch.tensor([[1.0, 0.0, 0.0], [-0.5, 1.0, 0.0], [-0.5, -0.9, 0.3]], dtype=torch.float64)
    method, gram_TT = PCGrad(), gramian(jac_TP)
    state, seen = method.init(3, torch.Generator().manual_seed(0)), set()
    for _ in range(100):
        weights_T, state = method.weights(gram_TT, torch.ones(3), state)
        seen.add(tuple(np.round((weights_T @ jac_TP).numpy(), 9)))
    assert seen == {tuple(np.round(outcome, 9)) for outcome in reference.pcgrad_outcomes(jac_TP.numpy())}


def test_pcgrads_parts_have_its_direction_or_its_length() -> None:
    jac_TP = gradients(2, 0, common=-0.5)
    both_P, direction_P, magnitude_P = (weights(PCGrad(part=p), jac_TP) @ jac_TP for p in get_args(Part))
    plain_P = jac_TP.sum(0)
    torch.testing.assert_close(direction_P, both_P * plain_P.norm() / both_P.norm())
    torch.testing.assert_close(magnitude_P, plain_P * both_P.norm() / plain_P.norm())


def test_gradvac_is_the_papers_over_many_steps() -> None:
    """With two tasks there is one order, so that the targets of the reference can be carried along."""
    method, target_TT = GradVac(beta=0.3), np.zeros((2, 2))
    state = method.init(2, torch.Generator())
    for seed in range(10):
        jac_TP = gradients(2, seed, common=1 - seed / 4)
        weights_T, state = method.weights(gramian(jac_TP), torch.ones(2), state)
        expected_P, target_TT = reference.gradvac(jac_TP.numpy(), [[1], [0]], target_TT, 0.3)
        np.testing.assert_allclose((weights_T @ jac_TP).numpy(), expected_P, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(state["target"].numpy(), target_TT, atol=1e-12)
    assert abs(target_TT).max() > 0.1


def test_gradvac_starts_as_pcgrad() -> None:
    jac_TP = gradients(4, 0, common=-0.5)
    torch.testing.assert_close(weights(GradVac(), jac_TP, seed=3), weights(PCGrad(), jac_TP, seed=3))


@pytest.mark.parametrize("alpha", [-2.0, 0.0, 1.0])
def test_dw_and_pcgrad_dw_are_the_papers(alpha: float) -> None:
    for seed in range(5):
        jac_TP = gradients(2, seed, common=-0.2) * 0.3
        plain_P = (weights(DW(alpha=alpha), jac_TP) @ jac_TP).numpy()
        np.testing.assert_allclose(plain_P, reference.dw(jac_TP.numpy(), jac_TP.numpy(), alpha), rtol=1e-9)
        modified = reference.projected(jac_TP.numpy(), [[1], [0]])
        projected_P = (weights(PCGradDW(alpha=alpha), jac_TP) @ jac_TP).numpy()
        np.testing.assert_allclose(projected_P, reference.dw(jac_TP.numpy(), modified, alpha), rtol=1e-9)


@pytest.mark.parametrize("tasks", [2, 3, 8])
def test_imtl_g_is_the_papers_and_projects_equally(tasks: int) -> None:
    for seed in range(5):
        jac_TP = gradients(tasks, seed, common=0.5) * torch.logspace(-2, 2, tasks, dtype=torch.float64)[:, None]
        weights_T = weights(IMTLG(), jac_TP)
        np.testing.assert_allclose((weights_T @ jac_TP).numpy(), reference.imtl_g(jac_TP.numpy()), rtol=1e-6, atol=1e-9)
        projection_T = jac_TP @ (weights_T @ jac_TP) / jac_TP.norm(dim=1)
        torch.testing.assert_close(projection_T, projection_T[:1].expand(tasks), rtol=1e-6, atol=1e-12)


def test_imtl_g_between_opposite_gradients_stands_still() -> None:
    jac_TP = torch.tensor([[1.0, 0.0], [-3.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(weights(IMTLG(), jac_TP), torch.tensor([0.75, 0.25], dtype=torch.float64))


@pytest.mark.parametrize("c", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_cagrad_is_the_papers(tasks: int, c: float) -> None:
    for seed in range(4):
        jac_TP = gradients(tasks, seed, common=-0.3)
        update_P = (weights(CAGrad(c=c), jac_TP) @ jac_TP).numpy()
        np.testing.assert_allclose(update_P, reference.cagrad(jac_TP.numpy(), c), rtol=1e-3, atol=1e-4)


def test_gradnorm_is_the_papers_by_autograd_and_torchs_adam() -> None:
    method, generator = GradNorm(tau=1.5, lr=0.025), torch.Generator().manual_seed(0)
    state, weight_T = method.init(3, generator), torch.ones(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([weight_T], lr=0.025, eps=0.0)
    initial_T = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    for step in range(20):
        jac_TP = gradients(3, step) * torch.tensor([[1.0], [5.0], [0.2]], dtype=torch.float64)
        losses_T = initial_T * (1 - torch.tensor([0.01, 0.03, 0.0]) * step)
        found_T, state = method.weights(gramian(jac_TP), losses_T, state)
        torch.testing.assert_close(found_T, weight_T.detach(), rtol=1e-9, atol=0)
        length_T = weight_T * jac_TP.norm(dim=1)
        rate_T = (losses_T / initial_T) / (losses_T / initial_T).mean()
        adam.zero_grad()
        (length_T - (length_T.mean() * rate_T**1.5).detach()).abs().sum().backward()
        adam.step()
        with torch.no_grad():
            weight_T.mul_(3 / weight_T.sum())
    assert state["weight"].max() > 1.2


def test_gradops_static_weighs_gradops_own_gradients() -> None:
    jac_TP = torch.linalg.cholesky(torch.full((3, 3), -0.3).double() + 1.3 * torch.eye(3).double())
    even_T, first_T = weights(GradOPSStatic(), jac_TP), weights(GradOPSStatic(weight=(3.0, 0.0, 0.0)), jac_TP)
    torch.testing.assert_close(even_T, weights(GradOPS(alpha=0.0), jac_TP))
    progress_T = jac_TP @ (first_T @ jac_TP)
    assert progress_T[0] > 0
    torch.testing.assert_close(progress_T[1:], torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize("tasks", [2, 3, 4])
def test_mgda_is_the_shortest_vector(tasks: int) -> None:
    for seed in range(20):
        jac_TP = gradients(tasks, seed, common=seed / 10)
        update_P = weights(MGDA(), jac_TP) @ jac_TP
        np.testing.assert_allclose(update_P.numpy(), reference.mgda(jac_TP.numpy()), atol=1e-12)


@pytest.mark.parametrize("normalise", get_args(Normalise))
@pytest.mark.parametrize("kind", [MGDA, MGDAUB])
def test_mgdas_normalisers_are_the_papers(kind: type[MGDA | MGDAUB], normalise: Normalise) -> None:
    losses_T = torch.tensor([2.0, 0.3, 7.0], dtype=torch.float64)
    for seed in range(10):
        jac_TP = gradients(3, seed, common=0.5) * torch.tensor([[1.0], [4.0], [0.3]], dtype=torch.float64)
        length_T = jac_TP.norm(dim=1)
        one_T = torch.ones_like(length_T)
        size_T = {"none": one_T, "l2": length_T, "loss": losses_T, "loss+": losses_T * length_T}[normalise]
        weights_T, _ = kind(normalise=normalise).weights(gramian(jac_TP), losses_T, {})
        expected_P = reference.mgda_normalised(jac_TP.numpy(), size_T.numpy())
        np.testing.assert_allclose((weights_T @ jac_TP).numpy(), expected_P, rtol=1e-9, atol=1e-12)


def test_mgdas_normaliser_by_hand() -> None:
    """Orthogonal gradients of lengths 1 and 2: of the unit vectors half each, so 1/2 and 1/4 of the given ones."""
    gram_TT = torch.tensor([[1.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    weights_T, _ = MGDA(normalise="l2").weights(gram_TT, torch.ones(2), {})
    torch.testing.assert_close(weights_T, torch.tensor([2 / 3, 1 / 3], dtype=torch.float64))


@pytest.mark.parametrize("normalise", get_args(Normalise))
def test_mgda_leaves_a_zero_gradient_all_the_weight(normalise: Normalise) -> None:
    jac_TP = torch.cat([gradients(2, 0), torch.zeros(1, 20)])
    weights_T, _ = MGDA(normalise=normalise).weights(gramian(jac_TP), torch.tensor([1.0, 2.0, 3.0]), {})
    assert weights_T.tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("loss", [0.0, -3.0])
def test_mgda_takes_a_loss_that_is_not_positive_as_one(loss: float) -> None:
    gram_TT = gramian(gradients(3, 0))
    found_T, _ = MGDA(normalise="loss").weights(gram_TT, torch.tensor([loss, 2.0, 3.0]), {})
    as_one_T, _ = MGDA(normalise="loss").weights(gram_TT, torch.tensor([1.0, 2.0, 3.0]), {})
    assert torch.equal(found_T, as_one_T)


def test_gradnorm_measures_a_task_from_its_first_loss() -> None:
    """A task without labels in the first batch, and in every fifth one, trains like the others."""
    method, jac_TP = GradNorm(), torch.eye(3, dtype=torch.float64)
    state = method.init(3, torch.Generator())
    for step in range(200):
        losses_T, present_T = torch.tensor([0.7, 0.7, 0.7]).double(), torch.ones(3).double()
        present_T[0] = float(step % 5 != 0)
        _, state = method.weights(gramian(jac_TP * present_T[:, None]), losses_T * present_T, state)
    assert state["initial"].tolist() == pytest.approx([0.7] * 3)
    assert (state["weight"] - 1).abs().max() < 0.2
    rate_T = method.training_rate(torch.tensor([0.0, 0.7, 0.7]), state)
    assert rate_T.tolist() == pytest.approx([1.0, 1.0, 1.0])


def test_static_refuses_a_wrong_number_of_weights() -> None:
    with pytest.raises(ValueError, match="one a task"):
        weights(Static(weight=(1.0, 2.0)), gradients(3, 0))
