"""One suite over every registered method that combines gradients element by element."""

from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor

from gradops.base import ElementwiseMethod, State
from gradops.methods import METHODS, format_method, parse
from tests.conformance.matrices import HARD_MATRICES

EVERY = {name: method for name in METHODS if isinstance(method := parse(name), ElementwiseMethod)}


def promising(claim: str) -> list[str]:
    return [name for name, method in EVERY.items() if claim in method.claims]


def cotangents(matrix: str) -> Tensor:
    """A hard matrix as the gradients of two rows."""
    jac_TP = HARD_MATRICES[matrix]
    return torch.stack([jac_TP, jac_TP.flip(1)], dim=1)


def combine(method: ElementwiseMethod, cotangent_TBD: Tensor) -> Tensor:
    return method.combine(cotangent_TBD, start(method, len(cotangent_TBD)))[0]


def start(method: ElementwiseMethod, tasks: int) -> State:
    return method.init(tasks, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("matrix", HARD_MATRICES)
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_one_finite_gradient_in_place_of_many(name: str, matrix: str, dtype: torch.dtype) -> None:
    cotangent_TBD = cotangents(matrix).to(dtype)
    combined_BD = combine(EVERY[name], cotangent_TBD)
    assert combined_BD.shape == cotangent_TBD.shape[1:]
    assert combined_BD.dtype == dtype
    assert combined_BD.isfinite().all()


@pytest.mark.parametrize("matrix", HARD_MATRICES)
@pytest.mark.parametrize("name", promising("permutation_invariant"))
def test_order_of_tasks_does_not_matter(name: str, matrix: str) -> None:
    cotangent_TBD = cotangents(matrix)
    largest = cotangent_TBD.abs().max().clamp(min=1e-300)
    expected_BD, found_BD = (combine(EVERY[name], c) / largest for c in (cotangent_TBD, cotangent_TBD.flip(0)))
    torch.testing.assert_close(found_BD, expected_BD, rtol=0, atol=1e-12)


@pytest.mark.parametrize("matrix", HARD_MATRICES)
@pytest.mark.parametrize("name", promising("linear_under_scaling"))
def test_scaling_every_gradient_scales_the_update(name: str, matrix: str) -> None:
    cotangent_TBD = cotangents(matrix)
    assert torch.equal(combine(EVERY[name], 1024 * cotangent_TBD), 1024 * combine(EVERY[name], cotangent_TBD))


@pytest.mark.parametrize("name", EVERY)
def test_a_saved_state_goes_on_and_is_left_alone(name: str) -> None:
    method, cotangent_TBD = EVERY[name], cotangents("three")
    state = start(method, 3)
    before = {key: value.clone() for key, value in state.items()}
    _, after = method.combine(cotangent_TBD, state)
    assert all(torch.equal(state[key], value) for key, value in before.items())
    saved = io.BytesIO()
    torch.save(dict(after), saved)
    saved.seek(0)
    restored = torch.load(saved, weights_only=True)
    assert torch.equal(method.combine(cotangent_TBD, after)[0], method.combine(cotangent_TBD, restored)[0])


@pytest.mark.parametrize("name", EVERY)
def test_written_form_is_read_back(name: str) -> None:
    assert parse(format_method(EVERY[name])) == EVERY[name]
