"""PCGrad's sinusoids: PCGrad learns the ten tasks in fewer updates."""

from __future__ import annotations

import pytest
import torch

from benchmarks.problems.sinusoids import TASKS, UPDATES, Sinusoids, run
from gradops.methods import PCGrad, Uniform


def test_the_tasks_are_as_the_paper_draws_them() -> None:
    tasks = Sinusoids.draw(torch.Generator().manual_seed(0))
    input_TBF, target_TB = tasks.batch(torch.Generator().manual_seed(0))
    assert 0 <= tasks.amplitude_T.min() <= tasks.amplitude_T.max() <= 5
    assert 0 <= tasks.phase_T.min() <= tasks.phase_T.max() <= torch.pi
    assert 0 <= input_TBF[..., 0].min() <= input_TBF[..., 0].max() <= 5
    assert (input_TBF[..., 1:].argmax(-1) == torch.arange(TASKS)[:, None]).all()
    assert (target_TB.abs() <= tasks.amplitude_T[:, None]).all()


def test_a_run_is_repeatable_and_both_methods_start_alike() -> None:
    first, again = (run(PCGrad(), seed=0, updates=3) for _ in range(2))
    assert torch.equal(first.losses_ST, again.losses_ST)
    assert torch.equal(first.losses_ST[0], run(Uniform(), seed=0, updates=1).losses_ST[0])


def test_pcgrad_is_ahead_after_eighty_updates() -> None:
    plain, pcgrad = (run(method, seed=2, updates=80).losses_ST[-20:].sum(1).mean() for method in (Uniform(), PCGrad()))
    assert pcgrad < 0.7 * plain


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_pcgrad_needs_fewer_updates(seed: int) -> None:
    """Updates until the total loss is a twentieth of the first; by the end both have learned the tasks."""
    plain, pcgrad = (run(method, seed).losses_ST.sum(1) for method in (Uniform(), PCGrad()))
    reached = [int((total < total[0] / 20).nonzero()[0]) for total in (plain, pcgrad)]
    assert len(plain) == UPDATES
    assert reached[1] < reached[0]
    assert max(plain[-100:].median(), pcgrad[-100:].median()) < plain[0] / 100
