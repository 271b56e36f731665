"""One suite over every registered method: its promises, checked on matrices on which they are hard to keep."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.linalg import gramian
from gradops.methods import METHODS, GradOPS, format_method, parse
from tests.conformance.matrices import HARD_MATRICES, randn

OTHERS = ["gradops(alpha=-3.0)", "gradops(alpha=2.0)", "gradops(alpha=-30.0)", "cagrad(c=0.0)", "cagrad(c=0.9)"]
OTHERS += ["aligned_mtl(scale='median')", "aligned_mtl(scale='rmse')", "imtl_g(length='sum')", "pe_ltr(floor=0.0)"]
OTHERS += ["fairgrad(alpha=0.2)", "fairgrad(alpha=10.0)", "fairgrad(alpha=1.0, max_norm=1.0)", "gradcraft(tau=0.3)"]
OTHERS += ["gradcraft(tau=1.0, epsilon=0.1, beta=0.9)", "log_loss(common='geometric_mean')", "go4align(groups=3)"]
# Past the steps in which they are still another method.
OTHERS += ["autoscale(explore=1)", "dwa(temperature=0.5, window=1)", "stch(mu=0.2, warmup=1, window=1)"]
OTHERS += ["uncertainty(loss='imtl')", "upgrad + smooth(0.9)", "rotograd_scale + bound(3)"]
OTHERS += ["mgda(normalise='l2')", "mgda(normalise='loss')", "mgda(normalise='loss+')", "pcgrad(part='direction')"]
EVERY = {text: method for text in (*METHODS, *OTHERS) if isinstance(method := parse(text), GramianMethod)}


@contextmanager
def during(matrix: str) -> Iterator[None]:
    """Name the matrix on which a check fails."""
    try:
        yield
    except Exception as error:
        error.add_note(f"on the matrix: {matrix}")
        raise


def losses(tasks: int) -> Tensor:
    return torch.linspace(0.5, 2.0, tasks, dtype=torch.float64)


def weigh(method: GramianMethod, jac_TP: Tensor, losses_T: Tensor | None = None) -> Tensor:
    state = method.start(len(jac_TP), torch.Generator().manual_seed(0))
    losses_T = losses(len(jac_TP)) if losses_T is None else losses_T
    for _ in range(min(method.settling, 3) + 1):  # a short one's own weights, a long one's first
        weights_T, state = method.step(gramian(jac_TP), losses_T, state)
    return weights_T


def assert_same_update(jac_TP: Tensor, first_T: Tensor, second_T: Tensor, tolerance: float) -> None:
    """Weights are unique only where gradients are independent; the update always is."""
    longest = (first_T.abs() * jac_TP.norm(dim=1)).max()
    torch.testing.assert_close(
        first_T @ jac_TP / longest.clamp(min=1e-300),
        second_T @ jac_TP / longest.clamp(min=1e-300),
        rtol=0,
        atol=tolerance,
    )


def assert_never_conflicting(method: GramianMethod, jac_TP: Tensor) -> None:
    weights_T, norm_T = weigh(method, jac_TP), jac_TP.norm(dim=1)
    # Rounding of a product is relative to the longest of the vectors summed, not to their sum. The Gram matrix holds
    # squares, so an angle below 1e-8 is lost in it: sqrt(1e-16).
    rounding_T = norm_T * (weights_T.abs() * norm_T).max()
    assert (jac_TP @ (weights_T @ jac_TP) >= -1e-8 * rounding_T).all()


def assert_permutation_invariant(method: GramianMethod, jac_TP: Tensor) -> None:
    order = torch.randperm(len(jac_TP), generator=torch.Generator().manual_seed(1))
    permuted_T = torch.empty(len(jac_TP), dtype=torch.float64)
    permuted_T[order] = weigh(method, jac_TP[order], losses(len(jac_TP))[order])
    # The Gram matrix holds squares: gradients a million apart are known to 1e-16 * 1e12 in it, relative to the shorter.
    assert_same_update(jac_TP, weigh(method, jac_TP), permuted_T, tolerance=1e-5)


def assert_linear_under_scaling(method: GramianMethod, jac_TP: Tensor) -> None:
    # A power of two, so that scaling itself rounds nothing.
    assert_same_update(jac_TP, weigh(method, jac_TP), weigh(method, jac_TP * 1024), tolerance=1e-12)


def assert_simplex(method: GramianMethod, jac_TP: Tensor) -> None:
    weights_T = weigh(method, jac_TP)
    assert (weights_T >= 0).all()
    torch.testing.assert_close(weights_T.sum(), torch.tensor(1.0, dtype=torch.float64))


CLAIMS = {
    "never_conflicting": assert_never_conflicting,
    "permutation_invariant": assert_permutation_invariant,
    "linear_under_scaling": assert_linear_under_scaling,
    "simplex": assert_simplex,
}
PROMISES = [(name, claim) for name, method in EVERY.items() for claim in sorted(method.claims)]


@pytest.mark.parametrize(("name", "claim"), PROMISES)
def test_claims_hold_on_hard_matrices(name: str, claim: str) -> None:
    for matrix, jac_TP in HARD_MATRICES.items():  # one test a matrix would cost ten times the arithmetic
        with during(matrix):
            CLAIMS[claim](EVERY[name], jac_TP)


@st.composite
def jacobians(draw: st.DrawFn) -> Tensor:
    """Gradients of any number and rank, of lengths that may be far apart, in agreement or in conflict."""
    tasks, columns, seed = draw(st.integers(1, 8)), draw(st.integers(1, 12)), draw(st.integers(0, 10**6))
    jac_TP = randn(tasks, columns, seed)
    jac_TP = jac_TP + draw(st.floats(-0.9, 2.0)) * jac_TP.mean(0)
    return jac_TP * torch.pow(10.0, draw(st.floats(0.0, 4.0)) * randn(tasks, 1, seed + 1))


@settings(max_examples=10)
@given(jac_TP=jacobians())
@pytest.mark.parametrize(("name", "claim"), PROMISES)
def test_claims_hold_on_any_gradients(name: str, claim: str, jac_TP: Tensor) -> None:
    CLAIMS[claim](EVERY[name], jac_TP)


@settings(max_examples=60)
@given(jac_TP=jacobians(), alpha=st.floats(-5, 3))
def test_gradops_never_conflicts_whatever_alpha(jac_TP: Tensor, alpha: float) -> None:
    assert_never_conflicting(GradOPS(alpha=alpha), jac_TP)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_weights_are_finite_float64_one_a_task(name: str, dtype: torch.dtype) -> None:
    for matrix, jac_TP in HARD_MATRICES.items():
        with during(matrix):
            method = EVERY[name]
            state = method.start(len(jac_TP), torch.Generator().manual_seed(0))
            gram_TT = gramian(jac_TP).to(dtype)
            weights_T, _ = method.step(gram_TT, torch.ones(len(jac_TP)), state)
            assert weights_T.shape == (len(jac_TP),)
            assert weights_T.dtype == torch.float64
            assert weights_T.isfinite().all()


@pytest.mark.parametrize("name", EVERY)
def test_one_task_keeps_its_direction(name: str) -> None:
    assert weigh(EVERY[name], HARD_MATRICES["one task"]).item() > 0


@pytest.mark.parametrize("name", EVERY)
def test_same_state_gives_the_same_weights_and_is_left_alone(name: str) -> None:
    method, gram_TT = EVERY[name], gramian(randn(5, 4, 0))
    state = method.start(5, torch.Generator().manual_seed(3))
    before = {key: value.clone() for key, value in state.items()}
    first_T, next_state = method.step(gram_TT, torch.ones(5), state)
    second_T, _ = method.step(gram_TT, torch.ones(5), state)
    assert torch.equal(first_T, second_T)
    assert all(torch.equal(state[key], before[key]) for key in before)
    assert next_state.keys() == state.keys()


@pytest.mark.parametrize("name", EVERY)
def test_written_form_is_read_back(name: str) -> None:
    assert parse(format_method(EVERY[name])) == EVERY[name]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("tasks", [2, 8])
def test_a_float32_gram_gives_the_weights_of_the_float64_one_but_for_its_rounding(name: str, tasks: int) -> None:
    method, jac_TP = EVERY[name], randn(tasks, 30, 1) * 0.2
    state = method.start(tasks, torch.Generator().manual_seed(0))
    exact_T, rounded_T = (
        method.step(gramian(jac_TP).to(dtype), losses(tasks).to(dtype), state)[0]
        for dtype in (torch.float64, torch.float32)
    )
    # alpha = -30 multiplies a relative error by 30.
    assert_same_update(jac_TP, exact_T, rounded_T, tolerance=1e-4)


def steps(method: GramianMethod, state: State, tasks: int, seeds: range) -> tuple[list[Tensor], State]:
    """The weights of a few steps of training, and the state after them."""
    found = []
    for seed in seeds:
        losses_T = losses(tasks) * randn(tasks, 1, seed).squeeze(1).exp()
        weights_T, state = method.step(gramian(randn(tasks, 6, seed)), losses_T, state)
        found.append(weights_T)
    return found, state


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("tasks", [1, 2, 8])
def test_a_run_goes_on_exactly_from_a_saved_state(name: str, tasks: int) -> None:
    method = EVERY[name]
    start = method.start(tasks, torch.Generator().manual_seed(3))
    unbroken, _ = steps(method, start, tasks, range(6))
    first, state = steps(method, start, tasks, range(3))
    saved = io.BytesIO()
    torch.save(dict(state), saved)
    saved.seek(0)
    second, _ = steps(method, torch.load(saved, weights_only=True), tasks, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(unbroken, first + second, strict=True))


@pytest.mark.parametrize("name", EVERY)
def test_weights_follow_losses_only_if_the_method_says_so(name: str) -> None:
    method, jac_TP = EVERY[name], randn(4, 6, 1)
    found = [weigh(method, jac_TP, scale * losses(4)) for scale in (torch.ones(4), torch.tensor([9.0, 0.1, 2.0, 1.0]))]
    assert method.reads_losses or torch.equal(*found)


@pytest.mark.parametrize("name", EVERY)
def test_weights_follow_gradients_only_if_the_method_says_so(name: str) -> None:
    method = EVERY[name]
    assert method.needs_gramian or torch.equal(weigh(method, randn(4, 6, 1)), weigh(method, 9 * randn(4, 6, 2)))


@pytest.mark.parametrize("name", EVERY)
def test_tasks_without_labels_in_a_batch_have_finite_weights(name: str) -> None:
    """Their losses and gradients are 0."""
    for present in ([1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]):
        present_T = torch.tensor(present, dtype=torch.float64)
        state = EVERY[name].start(3, torch.Generator().manual_seed(0))
        for seed in range(3):
            gram_TT = gramian(randn(3, 6, seed) * present_T[:, None])
            weights_T, state = EVERY[name].step(gram_TT, losses(3) * present_T, state)
            assert weights_T.isfinite().all()


@pytest.mark.parametrize("name", EVERY)
def test_what_a_method_returns_is_the_callers_to_change(name: str) -> None:
    """Arrays share a tensor's memory, so that a change of one could be one of the other."""
    method, gram_TT, losses_T = EVERY[name], gramian(randn(3, 4, 0)), losses(3)
    _, state = steps(method, method.start(3, torch.Generator().manual_seed(0)), 3, range(2))
    weights_T, after = method.step(gram_TT, losses_T, state)
    kept_T, inputs = weights_T.clone(), [gram_TT.clone(), losses_T.clone()]
    following_T, _ = method.step(gram_TT, losses_T, after)
    weights_T.zero_()
    assert torch.equal(method.step(gram_TT, losses_T, state)[0], kept_T)
    assert torch.equal(method.step(gram_TT, losses_T, after)[0], following_T)
    assert torch.equal(gram_TT, inputs[0])
    assert torch.equal(losses_T, inputs[1])
