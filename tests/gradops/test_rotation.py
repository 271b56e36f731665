"""Rotations and their leader against the papers' formulas, row by row, with scipy's exponential."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.linalg import expm
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from gradops import MultiTaskOptimizer
from gradops.base import Method
from gradops.methods import RotoGrad, RotoGradCoop, RotoGradR, RotoGradV1, parse
from gradops.rotation import _MAPS, Leader, Map, Rotation, Rotations
from gradops.skew import Pull, cayley

Array = npt.NDArray[np.float64]
TASKS, BATCH, WIDTH = 3, 6, 4


def turned(rotation: Rotation, seed: int = 0, dtype: torch.dtype = torch.float64) -> Rotations:
    """Rotations away from the identity."""
    rotations = Rotations(rotation, tasks=TASKS, width=WIDTH).to(dtype)
    with torch.no_grad():
        rotations.angles.normal_(generator=torch.Generator().manual_seed(seed))
    return rotations


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def matrix(angles_A: Array, size: int, kind: Map) -> Array:
    """A rotation from its angles, in numpy and scipy; the identity beyond ``size``."""
    skew = np.zeros((size, size))
    skew[np.tril_indices(size, -1)] = angles_A
    skew = skew - skew.T
    whole = np.eye(WIDTH)
    identity = np.eye(size)
    turned = expm(skew) if kind == "exponential" else np.linalg.inv(identity - skew / 2) @ (identity + skew / 2)
    whole[:size, :size] = turned
    return whole


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


def paper_target(rotation: Rotation, cotangent_TBD: Array, weights_T: Array, pace_T: Array) -> Array:
    units = [c / np.linalg.norm(c) for c in cotangent_TBD]
    if rotation.loss == "iclr":
        mean: Array = np.mean(units, axis=0)
        return mean
    combined = np.linalg.norm(sum(w * c for w, c in zip(weights_T, cotangent_TBD, strict=True)))
    target: Array = np.sum([u * combined * p for u, p in zip(units, pace_T, strict=True)], axis=0)
    return target


@pytest.mark.parametrize("kind", ["exponential", "cayley"])
@pytest.mark.parametrize("loss", ["iclr", "v1"])
@pytest.mark.parametrize("size", [0, 2, 3])
def test_leader_follows_the_papers_loss(kind: Map, loss: Literal["iclr", "v1"], size: int) -> None:
    """The gradient in the angles against central differences of the loss as the paper writes it."""
    rotation = Rotation(map=kind, loss=loss, size=size)
    rotations, size = turned(rotation), size or WIDTH
    cotangent_TBD, weights_T, pace_T = (
        normal(TASKS, BATCH, WIDTH, seed=1),
        normal(TASKS, seed=2).abs(),
        normal(3, seed=3).abs(),
    )
    Leader(rotations).backward(normal(BATCH, WIDTH, seed=4), cotangent_TBD, weights_T, pace_T)
    target_BD = paper_target(rotation, cotangent_TBD.numpy(), weights_T.numpy(), pace_T.numpy())
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


@pytest.mark.parametrize("kind", ["exponential", "cayley"])
@pytest.mark.parametrize("size", [0, 2])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_rotations_are_rotations(kind: Map, size: int, dtype: torch.dtype, tolerance: float) -> None:
    rotations = turned(Rotation(map=kind, size=size), dtype=dtype)
    whole_TDD = rotations.matrix_TDD()
    identity_TDD = torch.eye(WIDTH, dtype=dtype).repeat(TASKS, 1, 1)
    torch.testing.assert_close(whole_TDD @ whole_TDD.mT, identity_TDD, rtol=0, atol=tolerance)
    torch.testing.assert_close(torch.linalg.det(whole_TDD), torch.ones(TASKS, dtype=dtype))
    expected_TDD = [matrix(a.detach().double().numpy(), size or WIDTH, kind) for a in rotations.angles]
    np.testing.assert_allclose(whole_TDD.double().numpy(), expected_TDD, rtol=0, atol=tolerance)
    z_BD = normal(BATCH, WIDTH, seed=5).to(dtype)
    for read_BD, matrix_DD in zip(rotations([z_BD] * TASKS), whole_TDD, strict=True):
        torch.testing.assert_close(read_BD, z_BD @ matrix_DD.T, rtol=0, atol=10 * tolerance)


def test_rotations_start_at_the_identity_and_are_constants_to_the_losses() -> None:
    rotations = Rotations(Rotation(), tasks=TASKS, width=WIDTH)
    z_BD = torch.randn(BATCH, WIDTH, requires_grad=True)
    reads = rotations([z_BD] * TASKS)
    assert all(torch.equal(read_BD, z_BD) for read_BD in reads)
    torch.stack(reads).sum().backward()
    assert rotations.angles.grad is None
    assert z_BD.grad is not None


@pytest.mark.parametrize("kind", ["exponential", "cayley"])
@pytest.mark.parametrize("size", [2, 3, 0])
def test_rotations_pull_gradients_back_to_their_angles(kind: Map, size: int) -> None:
    """Against autograd through torch's own solver and exponential."""
    rotations, side = turned(Rotation(map=kind, size=size)), size or WIDTH
    slope_TSS, angles_TA = normal(TASKS, side, side, seed=1), rotations.angles.detach().clone().requires_grad_()
    row_A, column_A = torch.tril_indices(side, side, -1)
    lower_TSS = angles_TA.new_zeros(TASKS, side, side)
    lower_TSS[:, row_A, column_A] = angles_TA
    skew_TSS, identity_SS = lower_TSS - lower_TSS.mT, torch.eye(side, dtype=torch.float64)
    solved_TSS = torch.linalg.solve(identity_SS - skew_TSS / 2, identity_SS + skew_TSS / 2)
    expected_TSS = torch.matrix_exp(skew_TSS) if kind == "exponential" else solved_TSS
    (expected_TA,) = torch.autograd.grad(expected_TSS, angles_TA, slope_TSS)
    (found_TA,) = torch.autograd.grad(rotations.rotation_TSS(), rotations.angles, slope_TSS)
    torch.testing.assert_close(found_TA, expected_TA, rtol=1e-10, atol=1e-10)


def moved(rotations: Rotations) -> Rotations:
    with torch.no_grad():
        rotations.angles.mul_(0.5)
    return rotations


def written(rotations: Rotations) -> Rotations:
    rotations.angles.data.mul_(0.5)
    return rotations


def remapped(rotations: Rotations) -> Rotations:
    rotations.rotation = Rotation(map="cayley" if rotations.rotation.map == "exponential" else "exponential")
    return rotations


def stepped(rotations: Rotations) -> Rotations:
    rotations.rotation_TSS().sum().backward()
    Leader(rotations).step()
    return rotations


def loaded(rotations: Rotations, *, assign: bool) -> Rotations:
    rotations.load_state_dict(turned(rotations.rotation, seed=1).state_dict(), assign=assign)
    return rotations


CHANGES: dict[str, Callable[[Rotations], Rotations]] = {
    "in place": moved,
    "by data": written,
    "by a leader": stepped,
    "another map": remapped,
    "loaded": partial(loaded, assign=False),
    "loaded, assigned": partial(loaded, assign=True),
    "float": lambda rotations: rotations.float(),
    "float and back": lambda rotations: rotations.float().double(),
    "bfloat16": lambda rotations: rotations.bfloat16(),
    "bfloat16 and back": lambda rotations: rotations.bfloat16().double(),
    "deep copy, moved": lambda rotations: moved(copy.deepcopy(rotations)),
    "copy": copy.copy,
    "pickled, moved": lambda rotations: moved(pickle.loads(pickle.dumps(rotations))),
    "nothing": lambda rotations: rotations,
}


@pytest.mark.parametrize("kind", ["exponential", "cayley"])
@pytest.mark.parametrize("change", CHANGES)
def test_rotations_are_those_of_the_present_angles(kind: Map, change: str) -> None:
    """Whatever was made of earlier ones, and in whatever mode."""
    rotations = turned(Rotation(map=kind))
    with torch.inference_mode():
        before_TSS = rotations.rotation_TSS().clone()
    after = CHANGES[change](rotations)
    assert after.state_dict().keys() == {"angles"}
    expected = Rotations(after.rotation, tasks=TASKS, width=WIDTH).to(after.angles.dtype)
    expected.load_state_dict(after.state_dict())
    assert torch.equal(after.rotation_TSS(), expected.rotation_TSS())
    for rotated in (after, expected):
        rotated.angles.grad = None
        rotated.rotation_TSS().square().mul(torch.arange(WIDTH)).sum().backward()
    assert after.angles.grad is not None
    assert expected.angles.grad is not None
    assert torch.equal(after.angles.grad, expected.angles.grad)
    if after is not rotations:
        assert torch.equal(rotations.rotation_TSS(), before_TSS)


def test_rotations_are_made_once_for_all_who_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Tensor] = []

    def counted(skew_TSS: Tensor) -> tuple[Tensor, Pull]:
        made.append(skew_TSS)
        return cayley(skew_TSS)

    monkeypatch.setitem(_MAPS, "cayley", counted)
    net = Net(parse("rotograd_r + rotation(map='cayley')"))
    for step in range(3):
        net.step(step)
        assert net.rotations is not None
        with torch.no_grad():
            net.rotations([torch.ones(1, WIDTH, dtype=torch.float64)] * TASKS)
        net.rotations.matrix_TDD()
        assert len(made) == step + 2  # the first step's, and those of the angles that each step left


class Net(nn.Module):
    """A shared layer and one linear head a task, which reads through a rotation if there is one."""

    def __init__(self, method: Method, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.shared, self.heads = nn.Linear(5, WIDTH), nn.ModuleList(nn.Linear(WIDTH, 1) for _ in range(TASKS))
        turn = method.rotation
        self.rotations = None if turn is None else Rotations(turn, tasks=TASKS, width=WIDTH)
        self.double()
        network = [*self.shared.parameters(), *self.heads.parameters()]
        self.optimizer = MultiTaskOptimizer(
            torch.optim.SGD(network, lr=0.1), method, shared=self.shared.parameters(), rotations=self.rotations
        )

    def step(self, seed: int) -> Tensor:
        rows, targets = normal(BATCH, 5, seed=seed).tanh(), normal(TASKS, BATCH, seed=seed + 100)
        z = self.shared(rows).tanh()
        views = [z.view_as(z) for _ in range(TASKS)]
        reads = views if self.rotations is None else self.rotations(views)
        outputs = [head(read).squeeze(1) for head, read in zip(self.heads, reads, strict=True)]
        losses_T = torch.stack([(o - t).square().mean() for o, t in zip(outputs, targets, strict=True)])
        return self.optimizer.step(losses_T, features=views).weights_T


ROTATING = [
    "rotograd + rotation(leader_lr=0.1)",
    "rotograd_r + rotation(leader_lr=0.1, map='cayley')",
    "rotograd_v1 + rotation(leader_lr=0.1, size=2)",
    "rotograd_coop + rotation(leader_lr=0.1, cooperative_after=4)",
    "gradops(alpha=-2) + rotation(leader_lr=0.1)",
    "graddrop + rotation(leader_lr=0.1, loss='v1')",
]


@pytest.mark.parametrize("text", ROTATING)
def test_any_method_combines_with_rotations_and_a_resumed_run_goes_on_exactly(text: str) -> None:
    unbroken, broken, resumed = Net(parse(text)), Net(parse(text)), Net(parse(text), seed=9)
    for step in range(8):
        unbroken.step(step)
    for step in range(4):
        broken.step(step)
    resumed.load_state_dict(broken.state_dict())
    resumed.optimizer.load_state_dict(broken.optimizer.state_dict())
    for step in range(4, 8):
        resumed.step(step)
    for name, value in unbroken.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert unbroken.rotations is not None
    assert unbroken.rotations.angles.abs().max() > 1e-4


def test_rotation_alone_leaves_the_first_step_as_it_is() -> None:
    """The leader moves after the network: at the identity the first step is that of the method without rotations."""
    with_rotations, without = Net(RotoGradR()), Net(parse("uniform"))
    for net in (with_rotations, without):
        net.step(0)
    for name, value in without.state_dict().items():
        torch.testing.assert_close(with_rotations.state_dict()[name], value)


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
    """By autograd through everything: features, tower, rotation; the method's weights and pace as it computed them."""
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
    pace_T = net.optimizer.method.pace(report.losses_T, state)
    target_BD = torch.from_numpy(
        paper_target(net.rotations.rotation, cotangent_TBD.numpy(), report.weights_T.numpy(), pace_T.numpy())
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


@pytest.mark.parametrize("kind", ["exponential", "cayley"])
def test_rotations_of_a_half_precision_model_are_computed_in_float32(kind: Map) -> None:
    rotations = turned(Rotation(map=kind)).bfloat16()
    (read_BD, *_) = rotations([torch.eye(WIDTH, dtype=torch.bfloat16)] * TASKS)
    assert read_BD.dtype == torch.bfloat16
    expected_DD = matrix(rotations.angles[0].detach().double().numpy(), WIDTH, kind)
    np.testing.assert_allclose(read_BD.double().numpy(), expected_DD.T, atol=0.01)


def test_versions_differ_in_their_rotations() -> None:
    forms = {name: parse(name).rotation for name in ("rotograd", "rotograd_r", "rotograd_v1", "rotograd_coop")}
    assert forms["rotograd"] == forms["rotograd_r"] == Rotation(loss="iclr")
    assert forms["rotograd_v1"] == Rotation(loss="v1")
    assert forms["rotograd_coop"] == Rotation(loss="v1", cooperative_after=500)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_goes_on_by_itself(copied: Callable[[Net], Net]) -> None:
    net = Net(parse("rotograd_v1 + rotation(leader_lr=0.1)"))
    net.step(0)
    other = copied(net)
    before = net.state_dict()["rotations.angles"].clone()
    for step in range(1, 8):
        other.step(step)
    assert torch.equal(net.state_dict()["rotations.angles"], before)
    for step in range(1, 8):
        net.step(step)
    for name, value in net.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_a_state_of_another_kind_is_refused() -> None:
    rotated, plain, torchs = Net(RotoGrad()), Net(parse("pcgrad")), torch.optim.SGD([torch.zeros(1)], lr=0.1)
    for net in (rotated, plain):
        net.step(0)
    for net, state, message in (
        (plain, rotated.optimizer.state_dict(), "Found one with rotations"),
        (rotated, plain.optimizer.state_dict(), "Found one without rotations"),
        (Net(parse("gradnorm")), plain.optimizer.state_dict(), "of the same method"),
        (plain, torchs.state_dict(), "should be a MultiTaskOptimizer's"),
    ):
        with pytest.raises(ValueError, match=message):
            net.optimizer.load_state_dict(state)


def test_a_used_gradient_moves_nothing_again() -> None:
    net = Net(parse("rotograd + rotation(leader_lr=0.1)"))
    net.step(0)
    assert net.rotations is not None
    assert net.rotations.angles.grad is None
    before = net.rotations.angles.clone()
    net.optimizer.zero_grad()
    net.optimizer.optimizer.step()
    assert torch.equal(net.rotations.angles, before)


def test_wrong_rotations_are_named() -> None:
    shared, other = nn.Linear(2, 2), Rotations(Rotation(size=2), tasks=2, width=2)
    sgd = torch.optim.SGD(shared.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="`rotations` should be made of the method's"):
        MultiTaskOptimizer(sgd, RotoGrad(), shared=shared.parameters())
    with pytest.raises(ValueError, match="`rotations` should be made of the method's `None`"):
        MultiTaskOptimizer(sgd, parse("uniform"), shared=shared.parameters(), rotations=other)
    rotations = Rotations(Rotation(), tasks=2, width=2)
    both = torch.optim.SGD([*shared.parameters(), *rotations.parameters()], lr=0.1)
    with pytest.raises(ValueError, match="should not step the rotations"):
        MultiTaskOptimizer(both, RotoGrad(), shared=shared.parameters(), rotations=rotations)
    optimizer = MultiTaskOptimizer(sgd, RotoGradR(), shared=shared.parameters(), rotations=rotations)
    with pytest.raises(ValueError, match="where towers rotate"):
        optimizer.backward(torch.ones(2))
    with pytest.raises(ValueError, match="at most the 2 columns"):
        Rotations(Rotation(size=3), tasks=2, width=2)
    with pytest.raises(ValueError, match=r"`map` should.*`loss` should.*`size` should.*`leader_lr`.*`leader_decay`"):
        Rotation(map="x", loss="x", size=1, leader_lr=0.0, leader_decay=2.0)  # type: ignore[arg-type]  # wrong on purpose
