"""GradOPS' landscape: the claims of the paper, and the behaviour of its printed form."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from benchmarks.problems import plane
from benchmarks.problems.gradops_landscape import ALPHAS, STARTS, STEPS, excess, front, losses, run, slopes
from gradops.hull import min_norm_point
from gradops.linalg import combined_norm, gramian, norms, to_array

HIGH_LEFT, LOW, HIGH_RIGHT = STARTS


def stationarity(point_P: Tensor) -> float:
    """The shortest vector of the hull of the two gradients, relative to the shorter gradient."""
    gram_TT = to_array(gramian(torch.tensor(slopes(*point_P.tolist()), dtype=torch.float64).view(2, 2)))
    return float(combined_norm(gram_TT, min_norm_point(gram_TT)) / norms(gram_TT).min())


def test_front_is_not_beaten_by_random_points_of_the_bowls() -> None:
    # The grid is 2e-3 wide, and the front is flat: 1e-4 is more than the half of a cell can win.
    random_N2 = torch.rand(1000, 2, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([3.0, -1.5])
    random_N2 -= torch.tensor([1.5, 0.0])
    gain_NF = (front() - losses(random_N2[:, None])[:, None]).min(2).values
    assert gain_NF.max() <= 1e-4


def test_from_the_bowls_every_alpha_ends_at_a_pareto_point_of_its_own() -> None:
    ends = [run(plane.gradops(alpha), LOW)[-1] for alpha in ALPHAS]
    for end in ends:
        assert excess(end) <= 1e-3
        assert stationarity(end) <= 1e-6
    # In order: the lower alpha, the less task 1, whose gradient is the longer here, is allowed to win.
    assert all(float(right[0] - left[0]) >= 0.02 for left, right in pairwise(ends))


@pytest.mark.parametrize("start", [HIGH_LEFT, HIGH_RIGHT])
def test_the_sum_stalls_in_a_ravine(start: plane.Point) -> None:
    path = run(plane.plain, start)
    half = len(path) // 2
    assert path[-1, 1] > 0.3
    assert (path[-1] - path[half]).norm() <= 0.05


def test_the_sum_does_not_stall_among_the_bowls() -> None:
    assert excess(run(plane.plain, LOW)[-1]) <= 1e-3


@pytest.mark.parametrize(("start", "alpha"), [(HIGH_LEFT, -5.0), (HIGH_LEFT, -2.0), (HIGH_RIGHT, -5.0)])
def test_low_alpha_leaves_the_ravines_within_the_papers_steps(start: plane.Point, alpha: float) -> None:
    end = run(plane.gradops(alpha), start)[-1]
    assert excess(end) <= 1e-3
    assert stationarity(end) <= 1e-6


@pytest.mark.parametrize("start", [HIGH_LEFT, HIGH_RIGHT])
def test_high_alpha_rests_on_the_crease(start: plane.Point) -> None:
    """Not as printed: for at least half of the paper's steps alpha = 2 is where bowls beat it on both tasks."""
    path = run(plane.gradops(2.0), start)
    resting = path[path[:, 1].abs() < 0.01]
    assert len(resting) * STEPS / len(path) >= STEPS / 2
    # Both losses are 0 on the crease, and at least -0.2 and -2.4 can be had together.
    assert excess(resting[len(resting) // 2]) >= 0.5


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_after_twice_the_steps_every_run_is_on_the_front(start: plane.Point, alpha: float) -> None:
    end = run(plane.gradops(alpha), start, 2 * STEPS)[-1]
    assert excess(end) <= 1e-3
    assert stationarity(end) <= 1e-6


def test_the_floor_of_a_ravine_is_below_the_front_of_the_bowls() -> None:
    """Not as printed: the sum where plain descent stalls is lower than anywhere among the bowls."""
    floor_P = torch.tensor([0.7 + 0.2, 0.0], dtype=torch.float64)
    floor_P[1] = torch.atanh(torch.tensor(5 * 0.2, dtype=torch.float64) - 1e-9) / 3
    assert losses(floor_P[None]).sum() < front().sum(1).min() - 0.5


@pytest.mark.slow
@pytest.mark.parametrize("shift", [1e-9, -1e-6, 1e-3])
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("start", STARTS)
def test_the_front_is_reached_from_beside_the_starts(start: plane.Point, alpha: float, shift: float) -> None:
    """When a run leaves the crease is chance; three times the paper's steps are always enough."""
    end = run(plane.gradops(alpha), (start[0] + shift, start[1] - shift), 3 * STEPS)[-1]
    assert excess(end) <= 1e-3
