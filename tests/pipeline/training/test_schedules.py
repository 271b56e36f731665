"""Dropout and weight decay over the steps of a run."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from gradops import jacobian
from gradops.backward.graph import find_backward
from pipeline.config.run import RunConfig
from pipeline.config.train import TrainConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.run import depends_on
from pipeline.training.schedules import SCHEDULES, Regularisation, flat_cosine
from tests.gradops.test_backward import by_autograd, leaf, network, roots

FALLING = {"weight_decay": 0.1, "decay_schedule": "flat_cosine", "dropout_schedule": "flat_cosine"}


def test_flat_then_cosine() -> None:
    found = [flat_cosine(step, 8) for step in range(9)]
    assert found[:5] == [1.0] * 5
    assert found[5:] == pytest.approx([(1 + math.cos(math.pi * part / 4)) / 2 for part in (1, 2, 3, 4)])
    assert all(0 <= schedule(step, 7) <= 1 for schedule in SCHEDULES.values() for step in range(8))


def test_matrices_decay_by_the_rate_of_the_step() -> None:
    matrix, bias = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    optimizer = AdamW([{"params": [matrix], "weight_decay": 0.1}, {"params": [bias], "weight_decay": 0.0}], lr=0.5)
    regularisation = Regularisation(nn.Dropout(0.3), optimizer, TrainConfig.model_validate(FALLING), 10)
    expected = 1.0
    for step in range(10):
        if step == 4:  # as a resumed run does: the state's groups have the values of the last step
            optimizer.load_state_dict(optimizer.state_dict())
        regularisation.prepare(step)
        matrix.grad, bias.grad = torch.zeros(2, 2), torch.zeros(2)
        optimizer.step()
        expected *= 1 - 0.5 * 0.1 * flat_cosine(step, 10)
    torch.testing.assert_close(matrix, torch.full((2, 2), expected), check_stride=False)
    assert (bias == 1).all()


@pytest.mark.parametrize("step", [0, 12, 19])
def test_the_hand_written_backward_has_the_rate_of_the_step(step: int) -> None:
    torch.manual_seed(0)
    net, leaf_BE = network([16, 8], bias=True, dropout=0.4, relu=True, dtype=torch.float64), leaf()
    config = TrainConfig(dropout_schedule="flat_cosine")
    Regularisation(net, torch.optim.SGD(net.parameters(), lr=1.0), config, 20).prepare(step)
    assert [layer.p for layer in net if isinstance(layer, nn.Dropout)] == [0.4 * flat_cosine(step, 20)] * 2
    starts, shared = roots(net(leaf_BE), 3), list(net.parameters())
    assert find_backward([starts.outputs], shared, leaf_BE) is not None
    for ours, autograds in zip(
        jacobian.gradients_apart(starts, shared, leaf_BE).blocks, by_autograd(starts, shared), strict=True
    ):
        torch.testing.assert_close(ours, autograds)


def test_constant_schedules_keep_the_names_of_runs(few: tuple[RunConfig, Prepared]) -> None:
    falling = few[0].changed({f"train.{key}": value for key, value in FALLING.items()})
    assert depends_on(falling, few[1])["train"]["decay_schedule"] == "flat_cosine"
    assert not {"decay_schedule", "dropout_schedule", "ema"} & depends_on(*few)["train"].keys()
