"""Training steps of a network with rotations: with any method, resumed, copied, and wrongly put together."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn

from gradops import MultiTaskOptimizer
from gradops.methods import RotoGrad, RotoGradR, parse
from gradops.rotation import Rotation, Rotations
from tests.gradops.rotating import Net

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
