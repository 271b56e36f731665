"""PCGrad's valley: PCGrad follows it to where the ravines meet, Adam alone stays."""

from __future__ import annotations

import pytest
from torch import Tensor

from benchmarks.problems import plane
from benchmarks.problems.pcgrad_valley import START, STEPS, losses, run


def late(path: Tensor) -> Tensor:
    """Median losses of the last tenth: at one update they are chance, since both methods bounce between two walls."""
    return losses(path[-len(path) // 10 :, None]).median(0).values


def test_pcgrad_crosses_where_adam_stalls() -> None:
    plain, pcgrad = run(plane.plain), run(plane.pcgrad)
    assert late(pcgrad).sum() < late(plain).sum() - 100
    assert late(pcgrad)[1] < -100
    # By 0.3 of the first ravine's 8, and away from the optimum: its loss for task 2 rises.
    settled = plain[len(plain) // 100]
    assert (plain[-1] - settled).norm() < 0.5
    assert late(plain)[1] > losses(settled[None])[1]
    # tanh(b) = 1 to the ravines' width, a = -2.
    assert pcgrad[-1].tolist() == pytest.approx([-2.0, 6.0], abs=0.6)


def test_twenty_thousand_steps_are_not_enough() -> None:
    """Not even a tenth of the second task's loss is gained, while GradOPS with alpha = -2 is past the bend."""
    first = losses(run(plane.plain, steps=1000)[-1][None])[1]
    assert losses(run(plane.pcgrad, steps=20_000)[-1][None])[1] > 0.9 * first
    assert losses(run(plane.gradops(-2.0), steps=20_000)[-1][None])[1] < 0


@pytest.mark.slow
@pytest.mark.parametrize("shift", [-1e-2, -1e-3, 1e-6, 1e-3, 1e-2])
def test_pcgrad_crosses_from_beside_the_start(shift: float) -> None:
    start = (START[0] + shift, START[1] + shift)
    assert late(run(plane.pcgrad, start, STEPS))[1] < -100
    assert late(run(plane.plain, start, STEPS))[1] > 30
