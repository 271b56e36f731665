"""RotoGrad's weights against the papers' formulas on the gradients themselves."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gradops.base import GramianMethod
from gradops.linalg import gramian
from gradops.methods import GradNorm, RotoGradCoop, RotoGradScale, RotoGradV1, parse


def gradients(tasks: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale_T = torch.logspace(-1, 1, tasks, dtype=torch.float64)
    return scale_T[:, None] * torch.randn(tasks, 30, dtype=torch.float64, generator=generator)


def test_a_task_without_a_gradient_at_first_is_measured_from_its_first_one() -> None:
    method, jac_TP = RotoGradScale(), gradients(2, 0)
    state = method.init(2, torch.Generator())
    weights_T, state = method.weights(gramian(jac_TP * torch.tensor([[1.0], [0.0]]).double()), torch.ones(2), state)
    assert weights_T.tolist() == [1.0, 0.0]
    _, state = method.weights(gramian(jac_TP), torch.ones(2), state)
    torch.testing.assert_close(state["first"], jac_TP.norm(dim=1))


@pytest.mark.parametrize("method", [RotoGradV1(tau=0.7), RotoGradCoop(tau=0.7)])
def test_v1s_pace_is_its_losses_rate(method: GramianMethod) -> None:
    state = method.init(3, torch.Generator())
    first_T, second_T = torch.tensor([[1.0, 2.0, 0.5], [0.9, 1.0, 0.5]]).double()
    for losses_T in (first_T, second_T):
        _, state = method.weights(gramian(gradients(3, 0)), losses_T, state)
    normalised_T = second_T / first_T
    torch.testing.assert_close(method.training_rate(second_T, state), (normalised_T / normalised_T.mean()) ** 0.7)


def test_v1_is_gradnorm_with_another_target_and_not_the_same() -> None:
    # Between the lengths 1 and 1.5 lies their mean; both are below that of the sum.
    gram_TT = torch.tensor([1.0, 1.5]).double().square().diag()
    mean, combined = GradNorm(target="mean"), GradNorm(target="combined")
    after = [m.weights(gram_TT, torch.ones(2), m.init(2, torch.Generator()))[1]["weight"] for m in (mean, combined)]
    assert after[0][0] > 1 > after[0][1]
    torch.testing.assert_close(after[1], torch.ones(2).double())


def test_a_method_without_a_pace_of_its_own_asks_for_the_same_for_all() -> None:
    method = parse("gradops(alpha=-2)")
    assert method.training_rate(torch.rand(3), {}).tolist() == [1.0, 1.0, 1.0]
