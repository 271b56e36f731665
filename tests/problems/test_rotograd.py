"""RotoGrad's small problems: rotations bring two tasks to two optima, and one head to two opposite answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.problems import rotograd_mixture
from benchmarks.problems.rotograd_regressions import CONVEX, COOPERATIVE, MANY_MINIMA, Regression, run


def reached(problem: Regression, text: str, seed: int) -> int:
    """How many of the two tasks end at an optimum of their own."""
    return int((run(problem, text, seed)[1][-1] < problem.least + 0.02).sum())


@pytest.mark.parametrize("problem", [CONVEX, MANY_MINIMA])
def test_losses_are_the_papers(problem: Regression) -> None:
    def height(x: float) -> float:
        return float(np.sin(3 * x) / x + abs(x))

    point_T2 = torch.tensor([[0.7, -0.2], [-1.1, 0.4]]).double()
    (a, b), (c, d) = point_T2.tolist()
    expected = {
        CONVEX: [(a + 1) ** 2 + 25 * b**2, (c - 1) ** 2 + 25 * d**2],
        MANY_MINIMA: [height(a + 1.5) + height(b + 1.5), height(c - 1.5) + height(d - 1.5)],
    }
    assert problem.loss(point_T2).tolist() == pytest.approx(expected[problem])
    best = {CONVEX: [[-1.0, 0.0], [1.0, 0.0]], MANY_MINIMA: [[1.3401 - 1.5] * 2, [1.3401 + 1.5] * 2]}
    assert problem.loss(torch.tensor(best[problem]).double()).tolist() == pytest.approx([problem.least] * 2, abs=1e-4)
    somewhere = 3 * torch.randn(2000, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert min(problem.loss(point_T2).min() for point_T2 in somewhere) >= problem.least - 1e-4


@pytest.mark.parametrize("problem", [CONVEX, MANY_MINIMA])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_cooperative_leader_brings_both_to_an_optimum_and_uniform_scaling_neither(
    problem: Regression, seed: int
) -> None:
    assert reached(problem, COOPERATIVE, seed) == 2
    assert reached(problem, "uniform", seed) == 0


@pytest.mark.slow
def test_how_often_each_form_reaches_both() -> None:
    both = {
        name: sum(reached(problem, COOPERATIVE, seed) == 2 for seed in range(10))
        for name, problem in (("convex", CONVEX), ("longer", replace(CONVEX, steps=400)), ("many", MANY_MINIMA))
    }
    assert both["many"] == 10
    assert both["longer"] >= both["convex"] >= 4
    assert not any(reached(problem, "uniform", seed) for problem in (CONVEX, MANY_MINIMA) for seed in range(10))


def test_the_mixture_is_the_papers() -> None:
    rows_N2, labels_N2 = rotograd_mixture.sample(100_000, torch.Generator().manual_seed(0))
    first_N = labels_N2[:, 0] > 0
    for part_N, mean, covariance in (
        (first_N, [2.0, 2.0], [[5.0, 1.0], [1.0, 5.0]]),
        (~first_N, [-2.0, -2.0], [[10.0, 1.0], [1.0, 3.0]]),
    ):
        assert rows_N2[part_N].mean(0).tolist() == pytest.approx(mean, abs=0.05)
        np.testing.assert_allclose(rows_N2[part_N].T.cov().numpy(), covariance, atol=0.15)
    assert float((labels_N2[:, 1] == labels_N2[:, 0]).double().mean()) == pytest.approx(0.1, abs=0.005)


def test_one_head_learns_two_opposite_tasks_through_rotations() -> None:
    best_2 = rotograd_mixture.best_accuracy()
    assert (rotograd_mixture.run("rotograd", seed=0, epochs=25)[-1] > best_2 - 0.03).all()
    uniform_2 = rotograd_mixture.run("uniform", seed=0, epochs=5)[-1]
    assert uniform_2[1] < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("text", ["rotograd", "rotograd_r"])
def test_every_run_learns_both(text: str) -> None:
    best_2 = rotograd_mixture.best_accuracy()
    for seed in range(10):
        assert (rotograd_mixture.run(text, seed)[-1] > best_2 - 0.03).all()
