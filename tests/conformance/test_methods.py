"""One suite over every registered method: what each promises, on matrices that are hard to keep promises on."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gradops.base import GramianMethod
from gradops.linalg import gramian
from gradops.methods import METHODS, GradOPS, parse, write

TEXTS = (*METHODS, "gradops(alpha=-3.0)", "gradops(alpha=2.0)", "gradops(alpha=-30.0)", "cagrad(c=0.0)")
EVERY = {text: method for text in TEXTS if isinstance(method := parse(text), GramianMethod)}


def randn(tasks: int, columns: int, seed: int) -> Tensor:
    return torch.randn(tasks, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def near(angle: float) -> Tensor:
    """Three unit gradients, two of them at an angle in radians."""
    return torch.tensor([[1.0, 0.0, 0.0], [math.cos(angle), math.sin(angle), 0.0], [0.1, -0.3, 1.0]]).double()


HARD_MATRICES = {
    "one task": randn(1, 5, 0),
    "two": randn(2, 5, 1),
    "three": randn(3, 50, 2),
    "eight": randn(8, 50, 3),
    "more tasks than columns": randn(8, 3, 4),
    "all zero": torch.zeros(3, 4, dtype=torch.float64),
    "one zero": torch.cat([randn(2, 5, 5), torch.zeros(1, 5)]),
    "rank one": torch.tensor([[1.0], [2.0], [3.0]]).double() * randn(1, 6, 6),
    "rank deficient": torch.cat([randn(2, 6, 7), randn(2, 6, 7).sum(0, keepdim=True)]),
    "opposite": torch.cat([randn(1, 6, 8), -randn(1, 6, 8)]),
    "opposite and another": torch.cat([randn(1, 6, 9), -2 * randn(1, 6, 9), randn(1, 6, 10)]),
    "equal": randn(1, 6, 11).repeat(3, 1),
    "nearly parallel": near(1e-6),
    "nearly opposite": near(math.pi - 1e-6),
    "tiny": randn(3, 10, 12) * 1e-10,
    "huge": randn(3, 10, 13) * 1e15,
    "norms a million apart": randn(3, 10, 14) * torch.tensor([[1.0], [1e3], [1e6]]),
    "scales from 1e-10 to 1e15": randn(4, 10, 15) * torch.tensor([[1e-10], [1.0], [1e5], [1e15]]),
}


def promising(claim: str) -> list[str]:
    return [name for name, method in EVERY.items() if claim in method.claims]


def weigh(method: GramianMethod, jac_TP: Tensor, seed: int = 0) -> Tensor:
    state = method.init(len(jac_TP), torch.Generator().manual_seed(seed))
    return method.weights(gramian(jac_TP), torch.ones(len(jac_TP)), state)[0]


def assert_same_update(jac_TP: Tensor, first_T: Tensor, second_T: Tensor, tolerance: float) -> None:
    """Weights are unique only where gradients are independent; the update always is."""
    longest = (first_T.abs() * jac_TP.norm(dim=1)).max()
    torch.testing.assert_close(
        first_T @ jac_TP / longest.clamp(min=1e-300),
        second_T @ jac_TP / longest.clamp(min=1e-300),
        rtol=0,
        atol=tolerance,
    )


@pytest.mark.parametrize("matrix", HARD_MATRICES)
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_weights_are_finite_float64_one_a_task(name: str, matrix: str, dtype: torch.dtype) -> None:
    jac_TP = HARD_MATRICES[matrix]
    method = EVERY[name]
    state = method.init(len(jac_TP), torch.Generator().manual_seed(0))
    gram_TT = gramian(jac_TP).to(dtype)
    weights_T, _ = method.weights(gram_TT, torch.ones(len(jac_TP)), state)
    assert weights_T.shape == (len(jac_TP),)
    assert weights_T.dtype == torch.float64
    assert weights_T.isfinite().all()


@pytest.mark.parametrize("matrix", HARD_MATRICES)
@pytest.mark.parametrize("name", promising("never_conflicting"))
def test_update_never_conflicts(name: str, matrix: str) -> None:
    jac_TP = HARD_MATRICES[matrix]
    weights_T = weigh(EVERY[name], jac_TP)
    norm_T = jac_TP.norm(dim=1)
    # Rounding of a product is relative to the longest of the vectors summed, not to their sum. The Gram matrix holds
    # squares, so an angle below 1e-8 is lost in it: sqrt(1e-16).
    rounding_T = norm_T * (weights_T.abs() * norm_T).max()
    assert (jac_TP @ (weights_T @ jac_TP) >= -1e-8 * rounding_T).all()


@pytest.mark.parametrize("matrix", HARD_MATRICES)
@pytest.mark.parametrize("name", promising("permutation_invariant"))
def test_order_of_tasks_does_not_matter(name: str, matrix: str) -> None:
    jac_TP = HARD_MATRICES[matrix]
    order = torch.randperm(len(jac_TP), generator=torch.Generator().manual_seed(1))
    permuted_T = torch.empty(len(jac_TP), dtype=torch.float64)
    permuted_T[order] = weigh(EVERY[name], jac_TP[order])
    assert_same_update(jac_TP, weigh(EVERY[name], jac_TP), permuted_T, tolerance=1e-6)


@pytest.mark.parametrize("matrix", HARD_MATRICES)
@pytest.mark.parametrize("name", promising("linear_under_scaling"))
def test_scaling_every_gradient_changes_no_weight(name: str, matrix: str) -> None:
    jac_TP = HARD_MATRICES[matrix]
    # A power of two, so that scaling itself rounds nothing.
    assert_same_update(jac_TP, weigh(EVERY[name], jac_TP), weigh(EVERY[name], jac_TP * 1024), tolerance=1e-12)


@pytest.mark.parametrize("matrix", HARD_MATRICES)
@pytest.mark.parametrize("name", promising("simplex"))
def test_weights_are_on_the_simplex(name: str, matrix: str) -> None:
    weights_T = weigh(EVERY[name], HARD_MATRICES[matrix])
    assert (weights_T >= 0).all()
    torch.testing.assert_close(weights_T.sum(), torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.parametrize("name", EVERY)
def test_one_task_keeps_its_direction(name: str) -> None:
    assert weigh(EVERY[name], HARD_MATRICES["one task"]).item() > 0


@pytest.mark.parametrize("name", EVERY)
def test_same_state_gives_the_same_weights_and_is_left_alone(name: str) -> None:
    method, gram_TT = EVERY[name], gramian(randn(5, 4, 0))
    state = method.init(5, torch.Generator().manual_seed(3))
    before = {key: value.clone() for key, value in state.items()}
    first_T, next_state = method.weights(gram_TT, torch.ones(5), state)
    second_T, _ = method.weights(gram_TT, torch.ones(5), state)
    assert torch.equal(first_T, second_T)
    assert all(torch.equal(state[key], before[key]) for key in before)
    assert next_state.keys() == state.keys()


@pytest.mark.parametrize("name", EVERY)
def test_written_form_is_read_back(name: str) -> None:
    assert parse(write(EVERY[name])) == EVERY[name]


@settings(deadline=None, max_examples=60)
@given(tasks=st.integers(2, 6), columns=st.integers(1, 12), seed=st.integers(0, 10**6), alpha=st.floats(-5, 3))
def test_gradops_never_conflicts_on_any_gradients(tasks: int, columns: int, seed: int, alpha: float) -> None:
    jac_TP = randn(tasks, columns, seed)
    update_P = weigh(GradOPS(alpha=alpha), jac_TP) @ jac_TP
    assert (jac_TP @ update_P >= -1e-8 * jac_TP.norm(dim=1) * jac_TP.norm()).all()
