"""RotoGrad's weights against the papers' formulas on the gradients themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gradops.base import GramianMethod
from gradops.linalg import gramian
from gradops.methods import GradNorm, RotoGrad, RotoGradCoop, RotoGradScale, RotoGradV1, parse


def gradients(tasks: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale_T = torch.logspace(-1, 1, tasks, dtype=torch.float64)
    return scale_T[:, None] * torch.randn(tasks, 30, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("method", [RotoGradScale(), RotoGrad()])
@pytest.mark.parametrize("tasks", [1, 2, 3, 8])
def test_scaling_is_the_papers_over_steps(method: GramianMethod, tasks: int) -> None:
    state = method.init(tasks, torch.Generator())
    first_T = np.array([np.linalg.norm(g) for g in gradients(tasks, 0).numpy()])
    for step in range(5):
        jac_TP = gradients(tasks, step).numpy() * (1 - 0.1 * step * np.arange(tasks) / tasks)[:, None]
        length_T = np.linalg.norm(jac_TP, axis=1)
        ratio_T = length_T / first_T
        common = np.sum(ratio_T / ratio_T.sum() * length_T)
        weights_T, state = method.weights(gramian(torch.from_numpy(jac_TP)), torch.ones(tasks), state)
        expected_P = common * np.sum(jac_TP / length_T[:, None], axis=0)
        np.testing.assert_allclose(weights_T.numpy() @ jac_TP, expected_P, rtol=1e-12, atol=1e-14)


def test_a_task_without_a_gradient_at_first_is_measured_from_its_first_one() -> None:
    method, jac_TP = RotoGradScale(), gradients(2, 0)
    state = method.init(2, torch.Generator())
    weights_T, state = method.weights(gramian(jac_TP * torch.tensor([[1.0], [0.0]]).double()), torch.ones(2), state)
    assert weights_T.tolist() == [1.0, 0.0]
    _, state = method.weights(gramian(jac_TP), torch.ones(2), state)
    torch.testing.assert_close(state["first"], jac_TP.norm(dim=1))


@pytest.mark.parametrize("method", [RotoGradV1(tau=0.7, lr=0.05), RotoGradCoop(tau=0.7, lr=0.05)])
def test_v1_weights_follow_the_combined_length(method: GramianMethod) -> None:
    """Its losses by autograd, with torch's Adam."""
    state, weight_T = method.init(3, torch.Generator()), torch.ones(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([weight_T], lr=0.05, eps=0.0)
    first_T = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    for step in range(10):
        jac_TP, losses_T = gradients(3, step), first_T * (1 - torch.tensor([0.01, 0.05, 0.0]) * step)
        found_T, state = method.weights(gramian(jac_TP), losses_T, state)
        torch.testing.assert_close(found_T, weight_T.detach(), rtol=1e-9, atol=0)
        normalised_T = losses_T / first_T
        pace_T = (normalised_T / normalised_T.mean()) ** 0.7
        torch.testing.assert_close(method.pace(losses_T, state), pace_T)
        combined = (weight_T.detach() @ jac_TP).norm()
        adam.zero_grad()
        (weight_T * jac_TP.norm(dim=1) - combined * pace_T).abs().sum().backward()
        adam.step()
        with torch.no_grad():
            weight_T.mul_(3 / weight_T.sum())
    assert abs(state["weight"] - 1).max() > 0.1


def test_v1_is_gradnorm_with_another_target_and_not_the_same() -> None:
    # Between the lengths 1 and 1.5 lies their mean; both are below that of the sum.
    gram_TT = torch.tensor([1.0, 1.5]).double().square().diag()
    mean, combined = GradNorm(target="mean"), GradNorm(target="combined")
    after = [m.weights(gram_TT, torch.ones(2), m.init(2, torch.Generator()))[1]["weight"] for m in (mean, combined)]
    assert after[0][0] > 1 > after[0][1]
    torch.testing.assert_close(after[1], torch.ones(2).double())


def test_a_method_without_a_pace_of_its_own_asks_for_the_same_for_all() -> None:
    method = parse("gradops(alpha=-2)")
    assert method.pace(torch.rand(3), {}).tolist() == [1.0, 1.0, 1.0]
