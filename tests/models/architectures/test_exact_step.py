"""One step of the real thing against T full backward passes over dense tables in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gradops import MultiTaskOptimizer
from gradops.methods import parse
from gradops.rotation import Rotations
from models.architectures.shared_bottom import SharedBottom
from models.embedding.cut import Bags
from models.embedding.torchrec import TorchRecEmbedding
from tests.gradops import reference
from tests.models import networks

# So large a rate that the step outweighs the start: a wrong table gradient cannot hide behind an unchanged weight.
BATCH, LR = 64, 10.0
METHODS = ["uniform", "static(weight=(0.2, 0.8, 2.0))", "mgda", "gradops(alpha=0.0)", "gradops(alpha=-2.0)"]


def shared_of(model: SharedBottom) -> list[Tensor]:
    return [*model.shared_parameters(), *model.embedding.tables()]


def naive_step(model: SharedBottom, bags: Bags, seed: int, method: str) -> Tensor:
    """Every task's gradient by a full backward pass, combined by the paper's algorithm; returns the weights."""
    shared = shared_of(model)
    rows = []
    for task in range(networks.TASKS):
        losses_T = networks.mean_losses(model(bags, networks.values(BATCH, seed)), networks.labels(BATCH, seed))
        grads = torch.autograd.grad(losses_T[task], [*shared, *model.towers[task].parameters()])
        rows.append(torch.cat([g.flatten() for g in grads[: len(shared)]]))
        for parameter, gradient in zip(model.towers[task].parameters(), grads[len(shared) :], strict=True):
            parameter.grad = gradient
    jac_TP = torch.stack(rows)
    update_P = torch.from_numpy(combine(jac_TP.numpy(), method))
    for weight, part_P in zip(shared, update_P.split([p.numel() for p in shared]), strict=True):
        weight.grad = part_P.view_as(weight)
    torch.optim.SGD(model.parameters(), lr=LR).step()
    weights_T: Tensor = torch.linalg.lstsq(jac_TP.T, update_P[:, None]).solution.squeeze(1)
    return weights_T


def combine(jac_TP: reference.Array, method: str) -> reference.Array:
    if method.startswith("gradops"):
        return reference.gradops(jac_TP, float(method.split("=")[1][:-1]))
    if method == "mgda":
        return reference.mgda(jac_TP)
    weight_T = np.array([0.2, 0.8, 2.0]) if method.startswith("static") else np.ones(3)
    update: reference.Array = weight_T @ jac_TP
    return update


def our_step(model: SharedBottom, bags: Bags, seed: int, method: str, dtype: torch.dtype) -> Tensor:
    # SGD: Adam forgets the scale of a gradient, and a wrong scale is what this has to find.
    optimizer = MultiTaskOptimizer(
        torch.optim.SGD(model.parameters(), lr=LR), parse(method), shared=model.shared_parameters()
    )
    value_BV, labels_BT = networks.values(BATCH, seed).to(dtype), networks.labels(BATCH, seed).to(dtype)
    found = networks.passed(model, networks.as_type(bags, dtype), value_BV, labels_BT)
    return optimizer.step(found.losses_T, features=found.views, pooled=found.cut).weights_T


def assert_same_change(before: SharedBottom, ours: SharedBottom, naive: SharedBottom, tolerance: float) -> None:
    start = before.state_dict()
    for name, expected in naive.state_dict().items():
        assert (expected - start[name]).abs().max() > 1e-2, f"{name} did not move: the comparison would show nothing"
        assert (ours.state_dict()[name] - expected).abs().max() <= tolerance * expected.abs().max(), name


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", [0, 1])
def test_float64_step_is_the_naive_one(method: str, seed: int, weighted: bool) -> None:
    before, bags = networks.network(seed), networks.bags(BATCH, seed, weighted=weighted)
    ours, naive = networks.twin(before), networks.twin(before)
    weights_T = our_step(ours, bags, seed, method, torch.float64)
    torch.testing.assert_close(weights_T, naive_step(naive, bags, seed, method), rtol=0, atol=1e-12)
    assert_same_change(before, ours, naive, tolerance=1e-12)


@pytest.mark.parametrize("text", ["rotograd", "rotograd + rotation(size=4)", "mgda_ub", "graddrop"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_step_measured_at_the_features_is_the_naive_one(text: str, seed: int) -> None:
    """Cotangents by one backward pass a task, combined by the paper's formula, sent back through dense tables."""
    method = parse(text)
    rotations = None if method.rotation is None else Rotations(method.rotation, tasks=networks.TASKS, width=6).double()
    if rotations is not None:
        torch.nn.init.normal_(rotations.angles, generator=torch.Generator().manual_seed(seed))
    ours, bags = networks.network(seed, rotations), networks.bags(BATCH, seed, weighted=True)
    before, naive = networks.twin(ours), networks.twin(ours)
    labels_BT, value_BV = networks.labels(BATCH, seed), networks.values(BATCH, seed)
    optimizer = MultiTaskOptimizer(
        torch.optim.SGD(ours.network_parameters(), lr=LR), method, shared=ours.shared_parameters(), rotations=rotations
    )
    found = networks.passed(ours, bags, value_BV, labels_BT)
    optimizer.step(found.losses_T, features=found.views, pooled=found.cut)

    z_BD = naive.bottom(torch.cat([naive.embedding(bags), value_BV], dim=1))
    reads = [z_BD] * networks.TASKS if rotations is None else [z_BD @ r.T for r in before.head_transform.matrix_TDD()]  # type: ignore[union-attr]  # it has one
    logits_BT = torch.cat([tower(read) for tower, read in zip(naive.towers, reads, strict=True)], dim=1)
    losses_T = networks.mean_losses(logits_BT, labels_BT)
    cotangent_TBD = torch.stack([torch.autograd.grad(loss, z_BD, retain_graph=True)[0] for loss in losses_T])
    for tower, loss in zip(naive.towers, losses_T, strict=True):
        loss.backward(inputs=list(tower.parameters()), retain_graph=True)
    z_BD.backward(at_features(cotangent_TBD, text), inputs=shared_of(naive))
    torch.optim.SGD(naive.network_parameters(), lr=LR).step()
    for model in (before, ours, naive):
        model.head_transform = None  # the leader has moved ours
    assert_same_change(before, ours, naive, tolerance=1e-12)


def at_features(cotangent_TBD: Tensor, text: str) -> Tensor:
    jac_TP = cotangent_TBD.flatten(1).numpy()
    if text == "graddrop":
        drawn_P = torch.rand(jac_TP.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()
        positive_P = (1 + jac_TP.sum(0) / np.maximum(np.abs(jac_TP).sum(0), 1e-300)) / 2
        combined_P = np.where(positive_P > drawn_P, np.maximum(jac_TP, 0).sum(0), np.minimum(jac_TP, 0).sum(0))
    else:
        combined_P = reference.mgda(jac_TP) if text == "mgda_ub" else reference.rotograd([jac_TP])[0]
    return torch.from_numpy(combined_P).view_as(cotangent_TBD[0])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_float32_step_with_torchrec_is_the_naive_one(method: str, weighted: bool) -> None:
    before, bags = networks.network(3), networks.bags(BATCH, 3, weighted=weighted)
    # The start is rounded to float32 first, so that what is compared is the step and not the start.
    before.load_state_dict({name: value.float().double() for name, value in before.state_dict().items()})
    ours, naive = with_torchrec(before, weighted), networks.twin(before)
    weights_T = our_step(ours, bags, 3, method, torch.float32)
    torch.testing.assert_close(weights_T, naive_step(naive, bags, 3, method), rtol=0, atol=1e-6)
    assert_same_change(before, ours, naive, tolerance=1e-6)


def with_torchrec(model: SharedBottom, weighted: bool) -> SharedBottom:
    embedding = TorchRecEmbedding(networks.TABLES, weighted=weighted)
    ours = SharedBottom(embedding, values=networks.VALUES, tasks=networks.TASKS, bottom=(8, 6), tower=(4,), dropout=0.0)
    ours.load_state_dict(model.state_dict())
    return ours


def test_plain_and_torchrec_embeddings_agree() -> None:
    model, bags = networks.network(), networks.bags(BATCH, 0, weighted=False)
    float32 = networks.twin(model).float()
    torch.testing.assert_close(
        with_torchrec(model, weighted=False)(bags, networks.values(BATCH, 0).float()),
        float32(bags, networks.values(BATCH, 0).float()),
    )


def test_a_gram_without_deduplication_would_be_found() -> None:
    """Negative control: the un-summed cotangents give another Gram matrix by far more than the tolerances above."""
    model, bags = networks.network(), networks.bags(BATCH, 0, weighted=False)
    found = networks.passed(model, bags, networks.values(BATCH, 0), networks.labels(BATCH, 0))
    grads = [torch.autograd.grad(loss, found.cut.leaf_BE, retain_graph=True)[0] for loss in found.losses_T]
    cotangent_TBE = torch.stack(grads)
    exact = sum(
        (block @ block.T for block in found.cut.task_gradients(cotangent_TBE.transpose(0, 1))), torch.zeros(3, 3)
    )
    unsummed = cotangent_TBE.flatten(1) @ cotangent_TBE.flatten(1).T
    assert ((exact - unsummed).abs() / exact.diagonal().max()).max() > 0.1
