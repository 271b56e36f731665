"""Rotations against scipy's exponential and autograd, for angles of any size."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from gradops.methods import parse
from gradops.rotation import _MAPS, Leader, Map, Rotation, Rotations
from gradops.skew import Pull, cayley
from tests.gradops.rotating import BATCH, TASKS, WIDTH, Net, matrix, normal, turned


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


@pytest.mark.parametrize("kind", ["exponential", "cayley"])
def test_rotations_of_a_half_precision_model_are_computed_in_float32(kind: Map) -> None:
    rotations = turned(Rotation(map=kind)).bfloat16()
    (read_BD, *_) = rotations([torch.eye(WIDTH, dtype=torch.bfloat16)] * TASKS)
    assert read_BD.dtype == torch.bfloat16
    expected_DD = matrix(rotations.angles[0].detach().double().numpy(), WIDTH, kind)
    np.testing.assert_allclose(read_BD.double().numpy(), expected_DD.T, atol=0.01)
