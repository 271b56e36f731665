"""The leader of the rotations against the papers' losses, row by row."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from gradops.base import Method
from gradops.methods import RotoGrad, RotoGradCoop, RotoGradV1, parse
from gradops.rotation import Leader, Map, Rotation
from tests.gradops.rotating import BATCH, TASKS, WIDTH, Array, Net, matrix, normal, paper_target, turned


def paper_loss(rotation: Rotation, rotation_DD: Array, read_BD: Array, target_BD: Array) -> float:
    """The leader's loss of one task, from the gradients at what its tower reads, row by row."""
    total = 0.0
    for gradient_D, target_D in zip(read_BD, target_BD, strict=True):
        back_D = rotation_DD.T @ gradient_D
        if rotation.loss == "iclr":
            total -= back_D @ target_D
        else:
            total += np.sum((back_D - target_D) ** 2) / len(read_BD)
    return total


@pytest.mark.parametrize("kind", ["exponential", "cayley"])
@pytest.mark.parametrize("loss", ["iclr", "v1"])
@pytest.mark.parametrize("size", [0, 2, 3])
def test_leader_follows_the_papers_loss(kind: Map, loss: Literal["iclr", "v1"], size: int) -> None:
    """The gradient in the angles against central differences of the loss as the paper writes it."""
    rotation = Rotation(map=kind, loss=loss, size=size)
    rotations, size = turned(rotation), size or WIDTH
    cotangent_TBD, weights_T, rate_T = (
        normal(TASKS, BATCH, WIDTH, seed=1),
        normal(TASKS, seed=2).abs(),
        normal(3, seed=3).abs(),
    )
    Leader(rotations).backward(normal(BATCH, WIDTH, seed=4), cotangent_TBD, weights_T, rate_T)
    target_BD = paper_target(rotation, cotangent_TBD.numpy(), weights_T.numpy(), rate_T.numpy())
    assert rotations.angles.grad is not None
    for task in range(TASKS):
        angles_A = rotations.angles[task].detach().numpy()
        read_BD = cotangent_TBD[task].numpy() @ matrix(angles_A, size, kind).T
        for place, found in enumerate(rotations.angles.grad[task].tolist()):
            step = 1e-6 * np.eye(len(angles_A))[place]
            above, below = (
                paper_loss(rotation, matrix(angles_A + s, size, kind), read_BD, target_BD) for s in (step, -step)
            )
            assert found == pytest.approx((above - below) / 2e-6, rel=1e-5, abs=1e-7)


def test_cooperative_leader_descends_the_tasks_loss_too() -> None:
    """Equation 10 of version 1, with the task's own loss a linear one, so that its gradient is known anywhere."""
    rotation = Rotation(loss="v1", cooperative_after=1)
    rotations = turned(rotation)
    features_BD, cotangent_TBD = normal(BATCH, WIDTH, seed=1), normal(TASKS, BATCH, WIDTH, seed=2)
    one_T = torch.ones(TASKS, dtype=torch.float64)

    def gradient(steps: int, options: Rotation) -> Tensor:
        rotations.rotation = options
        leader = Leader(rotations)
        leader.steps = steps
        leader.backward(features_BD, cotangent_TBD, one_T, one_T)
        assert rotations.angles.grad is not None
        return rotations.angles.grad.clone()

    alone_TA, together_TA = gradient(0, rotation), gradient(1, rotation)
    read_TBD = cotangent_TBD @ rotations.rotation_TSS().detach().mT
    loss = (torch.stack(list(features_BD @ rotations.rotation_TSS().mT)) * read_TBD).sum()
    (own_TA,) = torch.autograd.grad(loss, rotations.angles)
    for alone, own, together in zip(alone_TA, own_TA, together_TA, strict=True):
        expected = (alone / alone.norm() + own / own.norm()) * (alone.norm() + own.norm()) / 2
        torch.testing.assert_close(together, expected)
    torch.testing.assert_close(gradient(100, Rotation(loss="v1")), alone_TA)


@pytest.mark.parametrize("method", [RotoGrad(), RotoGradV1(), RotoGradCoop()])
def test_leader_lowers_its_rate_every_step(method: Method) -> None:
    net = Net(method)
    for step in range(3):
        net.step(step)
    leader = net.optimizer.state_dict()["leader"]
    assert method.rotation is not None
    expected = method.rotation.leader_lr * method.rotation.leader_decay**2
    assert leader["optimizer"]["param_groups"][0]["lr"] == pytest.approx(expected)


def test_the_leaders_rate_follows_the_networks_schedule() -> None:
    net = Net(RotoGrad())
    schedule = LambdaLR(net.optimizer, lambda step: 0.5**step)
    for step in range(3):
        net.step(step)
        schedule.step()
    (group,) = net.optimizer.state_dict()["leader"]["optimizer"]["param_groups"]
    assert group["lr"] == pytest.approx(1e-4 * 0.9999**2 * 0.25)


@pytest.mark.parametrize("text", ["rotograd", "rotograd_v1", "rotograd_coop + rotation(size=3, cooperative_after=2)"])
def test_a_step_gives_the_leader_the_gradient_of_the_papers_loss(text: str) -> None:
    """By autograd through everything: features, tower, rotation; with the method's own weights and factors."""
    net = Net(parse(text))
    for step in range(4):
        net.step(step)
    assert net.rotations is not None
    rows, targets = normal(BATCH, 5, seed=4).tanh(), normal(TASKS, BATCH, seed=104)
    z_BD = net.shared(rows).tanh()
    rotation_TSS, size = net.rotations.rotation_TSS(), net.rotations.size
    reads = [torch.cat([z_BD[:, :size] @ r.T, z_BD[:, size:]], dim=1) for r in rotation_TSS]
    outputs = [head(read).squeeze(1) for head, read in zip(net.heads, reads, strict=True)]
    losses = [(o - t).square().mean() for o, t in zip(outputs, targets, strict=True)]
    read_TBD = torch.stack(
        [torch.autograd.grad(x, r, retain_graph=True)[0] for x, r in zip(losses, reads, strict=True)]
    )
    cotangent_TBD = torch.stack([torch.autograd.grad(x, z_BD, retain_graph=True)[0] for x in losses])
    views = [z_BD.view_as(z_BD) for _ in range(TASKS)]
    fresh = [head(read).squeeze(1) for head, read in zip(net.heads, net.rotations(views), strict=True)]
    losses_T = torch.stack([(o - t).square().mean() for o, t in zip(fresh, targets, strict=True)])
    report = net.optimizer.backward(losses_T, features=views)
    state = net.optimizer.method_state
    assert state is not None
    rate_T = net.optimizer.method.training_rate(report.losses_T, state)
    target_BD = torch.from_numpy(
        paper_target(net.rotations.rotation, cotangent_TBD.numpy(), report.weights_T.numpy(), rate_T.numpy())
    )
    assert net.rotations.angles.grad is not None
    for task in range(TASKS):
        back_BS = read_TBD[task, :, :size] @ rotation_TSS[task]
        alone = -(back_BS * target_BD[:, :size]).sum() if "v1" not in net.rotations.rotation.loss else None
        loss = ((back_BS - target_BD[:, :size]) ** 2).sum() / BATCH if alone is None else alone
        slope_A = torch.autograd.grad(loss, net.rotations.angles, retain_graph=True)[0][task]
        if "coop" in text:
            own_A = torch.autograd.grad(losses[task], net.rotations.angles, retain_graph=True)[0][task]
            units = slope_A / slope_A.norm() + own_A / own_A.norm()
            slope_A = units * (slope_A.norm() + own_A.norm()) / 2
        torch.testing.assert_close(net.rotations.angles.grad[task], slope_A, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [Rotation(), Rotation(loss="v1"), Rotation(loss="v1", cooperative_after=1)])
@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e6])
def test_a_task_without_a_gradient_pulls_nowhere(options: Rotation, scale: float) -> None:
    """As one without labels in the batch, in float32."""
    rotations = turned(options, dtype=torch.float32)
    leader, one_T = Leader(rotations), torch.ones(TASKS)
    leader.steps = 5
    cotangent_TBD = scale * normal(TASKS, BATCH, WIDTH, seed=2).float()
    cotangent_TBD[0] = 0.0
    leader.backward(normal(BATCH, WIDTH, seed=1).float(), cotangent_TBD, one_T, one_T)
    assert rotations.angles.grad is not None
    assert rotations.angles.grad.isfinite().all()
    assert not rotations.angles.grad[0].any()
    assert rotations.angles.grad[1:].any()
