"""A step in bfloat16 compared with float32: only products are rounded, not gradients of methods nor weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gradops import Microbatch, MultiTaskOptimizer, StepReport, jacobian
from gradops.backward.graph import find_backward
from gradops.methods import METHODS, parse
from gradops.rotation import Rotations
from models.architectures.base_config import ArchitectureConfig
from models.architectures.mmoe import MMoEConfig
from models.architectures.shared_bottom import SharedBottom, SharedBottomConfig
from models.embedding.portable import PortableEmbedding
from tests.models import networks

BATCH, FEW = 256, 32


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


@pytest.mark.parametrize("config", [SharedBottomConfig.example(), MMoEConfig.example()])
def test_all_tasks_go_back_at_once_in_half_precision(config: ArchitectureConfig) -> None:
    """Over encoded numbers: batched layers and layers of parts, whose weights are copied into bfloat16."""
    model = config.build(
        PortableEmbedding(networks.TABLES), values=networks.VALUES, tasks=networks.NAMES, encoded=networks.ENCODED
    )
    model.initialise(torch.Generator().manual_seed(0), embedding_std=0.5)
    leaf_BE = torch.randn(FEW, 14, generator=torch.Generator().manual_seed(0)).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        logits_BT, views = model.through(leaf_BE, networks.values(FEW, 0).float())
    read = list(zip(*((view,) if isinstance(view, Tensor) else view for view in views), strict=True))
    shared = model.shared_parameters()
    assert find_backward(read, shared, leaf_BE) is not None
    losses_T = networks.mean_losses(logits_BT.float(), networks.labels(FEW, 0).float())
    found = jacobian.gradients_apart(jacobian.split(Microbatch(losses_T, views, leaf_BE), []), shared, leaf_BE)
    for block, expected in zip(found.blocks, torch.autograd.grad(losses_T[1], shared), strict=True):
        # bfloat16 has three digits, and sums are taken in another order.
        scale = float(expected.abs().max())
        torch.testing.assert_close(block[1].view_as(expected), expected, rtol=0, atol=0.03 * scale)
