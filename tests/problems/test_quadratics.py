"""The theorems' promise: with a short enough step the total loss never rises. Twice that step, and it does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.problems.quadratics import Quadratics, run, safe_step
from gradops.base import GramianMethod
from gradops.hull import min_norm_point
from gradops.linalg import combined_norm, cosines, gramian, norms, to_array
from gradops.methods import GradOPS, PCGrad
from tests.gradops.reference import gradops as reference_gradops

ALPHAS = (-5.0, -2.0, 0.0, 2.0)
TASKS = (2, 3, 5)


def total(problem: Quadratics, path_SP: Tensor) -> Tensor:
    return torch.stack([problem.losses(point_P).sum() for point_P in path_SP])


def highest_rise(problem: Quadratics, method: GramianMethod, step: float, updates: int) -> float:
    """The largest rise of the total loss in one update, relative to the first total."""
    total_S = total(problem, run(problem, method, step, updates))
    return float(total_S.diff().max() / total_S[0])


@pytest.mark.parametrize("tasks", TASKS)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_gradops_never_raises_the_total_loss(alpha: float, tasks: int) -> None:
    generator = torch.Generator().manual_seed(tasks)
    for parameters in (2, tasks, 2 * tasks):
        problem = Quadratics.draw(tasks, parameters, generator)
        # 1e-14: rounding of the total.
        assert highest_rise(problem, GradOPS(alpha=alpha), safe_step(problem), 40) <= 1e-14


@pytest.mark.parametrize("tasks", TASKS)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_step_is_the_longest(alpha: float, tasks: int) -> None:
    problem = Quadratics.star(tasks)
    assert highest_rise(problem, GradOPS(alpha=alpha), safe_step(problem), 1) <= 0
    assert highest_rise(problem, GradOPS(alpha=alpha), 1.05 * safe_step(problem), 1) > 1e-7
    assert highest_rise(problem, GradOPS(alpha=alpha), 2 * safe_step(problem), 1) > 1e-6


@pytest.mark.parametrize("tasks", [3, 5])
def test_pcgrads_step_is_too_long_for_gradops_with_more_tasks(tasks: int) -> None:
    problem = Quadratics.star(tasks)
    assert highest_rise(problem, GradOPS(), 1 / problem.lipschitz, 1) > 0


@pytest.mark.parametrize("tasks", TASKS)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_bound_behind_the_step_holds_for_any_gradients(alpha: float, tasks: int) -> None:
    """``|d|^2 <= T G.d``, whatever problem the gradients come from."""
    generator = torch.Generator().manual_seed(tasks)
    for _ in range(30):
        scale_T1 = 10 ** (4 * torch.rand(tasks, 1, generator=generator).double())
        common_P = 3 * torch.randn(tasks + 1, generator=generator).double()
        jac_TP = scale_T1 * (torch.randn(tasks, tasks + 1, generator=generator).double() - common_P / tasks)
        gram_TT = gramian(jac_TP)
        weights_T, _ = GradOPS(alpha=alpha).weights(gram_TT, torch.ones(tasks), {})
        length = combined_norm(to_array(gram_TT), to_array(weights_T))
        assert length**2 <= tasks * gram_TT.sum(0) @ weights_T * (1 + 1e-9)


@pytest.mark.parametrize("tasks", [2, 3])
@pytest.mark.parametrize("alpha", [-2.0, 0.0])
def test_gradops_ends_pareto_stationary(alpha: float, tasks: int) -> None:
    problem = Quadratics.draw(tasks, 2 * tasks, torch.Generator().manual_seed(0))
    end_P = run(problem, GradOPS(alpha=alpha), safe_step(problem), 600)[-1]
    gram_TT, start_TT = (to_array(gramian(problem.gradients(point_P))) for point_P in (end_P, 0 * end_P))
    # Curvatures span three orders, so some hundred steps leave a little of the way.
    assert combined_norm(gram_TT, min_norm_point(gram_TT)) <= 0.05 * norms(start_TT).min()


def test_pcgrad_ends_at_the_optimum_or_where_the_gradients_oppose() -> None:
    generator = torch.Generator().manual_seed(0)
    for parameters in (2, 3, 4, 6):
        problem = Quadratics.draw(2, parameters, generator)
        path_SP = run(problem, PCGrad(), 1 / problem.lipschitz, 400)
        assert total(problem, path_SP).diff().max() <= 1e-14 * total(problem, path_SP[:1])[0]
        cosine = cosines(to_array(gramian(problem.gradients(path_SP[-1]))))[0, 1]
        slope = problem.gradients(path_SP[-1]).sum(0).norm() / problem.gradients(path_SP[0]).sum(0).norm()
        assert min(1 + cosine, slope) <= 1e-3


def test_twice_pcgrads_step_raises_the_total_loss() -> None:
    problem = Quadratics.star(2)
    assert highest_rise(problem, PCGrad(), 1 / problem.lipschitz, 1) <= 0
    assert highest_rise(problem, PCGrad(), 2 / problem.lipschitz, 1) > 1e-6


def test_the_update_is_the_papers() -> None:
    """One step of a run against the paper's algorithm on full gradients."""
    problem = Quadratics.draw(3, 5, torch.Generator().manual_seed(0))
    path_SP = run(problem, GradOPS(alpha=-2.0), safe_step(problem), 1)
    update_P = torch.from_numpy(reference_gradops(problem.gradients(path_SP[0]).numpy(), -2.0))
    torch.testing.assert_close(path_SP[1], -safe_step(problem) * update_P)


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [2, 3, 5, 8])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_gradops_never_raises_the_total_loss_on_many_problems(alpha: float, tasks: int) -> None:
    generator = torch.Generator().manual_seed(100 + tasks)
    for parameters in (1, 2, 3, 5, 8, 13):
        problem = Quadratics.draw(tasks, parameters, generator)
        assert highest_rise(problem, GradOPS(alpha=alpha), safe_step(problem), 200) <= 1e-14
