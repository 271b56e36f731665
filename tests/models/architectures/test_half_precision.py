"""A step in bfloat16 compared with float32: only products are rounded, not gradients of methods nor weights."""

from __future__ import annotations

import pytest
import torch

from gradops import MultiTaskOptimizer, StepReport
from gradops.methods import METHODS, parse
from gradops.rotation import Rotations
from models.architectures.shared_bottom import SharedBottom
from tests.models import networks

BATCH = 256


def network(method: str) -> SharedBottom:
    rotation = parse(method).rotation
    rotations = None if rotation is None else Rotations(rotation, tasks=networks.TASKS, width=6)
    return networks.network(0, rotations).float()


def step(model: SharedBottom, method: str, *, half: bool) -> StepReport:
    rotations = model.head_transform if isinstance(model.head_transform, Rotations) else None
    sgd = torch.optim.SGD(model.network_parameters(), lr=1.0)
    optimizer = MultiTaskOptimizer(sgd, parse(method), shared=model.shared_parameters(), rotations=rotations)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        cut = model.cut(networks.as_type(networks.bags(BATCH, 0, weighted=True), torch.float32))
        logits_BT, views = model.through(cut.leaf_BE, networks.values(BATCH, 0).float())
    assert logits_BT.dtype == (torch.bfloat16 if half else torch.float32)
    losses_T = networks.mean_losses(logits_BT.float(), networks.labels(BATCH, 0).float())
    return optimizer.step(losses_T, features=views, pooled=cut, diagnose=True)


@pytest.mark.parametrize("method", METHODS)
def test_a_step_in_half_precision_is_nearly_that_in_single(method: str) -> None:
    single, half = network(method), network(method)
    before = network(method).state_dict()
    expected, found = step(single, method, half=False), step(half, method, half=True)
    assert found.gram_TT is not None
    assert expected.gram_TT is not None
    assert found.gram_TT.dtype == found.weights_T.dtype == torch.float64
    torch.testing.assert_close(found.losses_T, expected.losses_T, rtol=0.01, atol=0)
    scale = float(expected.gram_TT.abs().max())
    torch.testing.assert_close(found.gram_TT, expected.gram_TT, rtol=0, atol=0.02 * scale)
    torch.testing.assert_close(found.weights_T, expected.weights_T, rtol=0.05, atol=0.05, equal_nan=True)

    def moved(model: SharedBottom) -> torch.Tensor:
        parts = [value - before[name] for name, value in model.state_dict().items() if not name.startswith("head_")]
        assert all(part.dtype == torch.float32 for part in parts)
        return torch.cat([part.flatten() for part in parts])

    assert float(torch.cosine_similarity(moved(half), moved(single), dim=0)) > 0.998
