"""The bars of a comparison: their count is of all epochs, and what took no time leaves the time left as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from jobs import console, progress
from jobs.progress import TrainingProgress
from pipeline.comparison.comparison import plan_boosting, plan_networks
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.run import Epoch, Run

EPOCH = Epoch(number=0, step=1, seconds=1.0, lr=0.1, losses={}, val={"income": {"auc": 0.5}}, diagnostics={})
RUN = Run(Path("runs/x"), ["income"], "uniform", 0, 0, EPOCH.val, EPOCH.val, [EPOCH])


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A terminal of eighty columns that keeps what is printed."""
    terminal = Console(width=80, force_terminal=True, color_system=None, record=True, quiet=False)
    monkeypatch.setattr(console, "err", terminal)
    monkeypatch.setattr(progress, "err", terminal)
    return terminal


def epochs(bars: Any) -> tuple[float, float]:
    """The count of the first bar."""
    first = bars.tasks[0]
    return first.completed, first.total


def test_the_first_bar_counts_every_epoch_of_every_run(few: tuple[RunConfig, Prepared], terminal: Console) -> None:
    config = few[0].model_copy(update={"compare": few[0].compare.model_copy(update={"boosting": True})})
    config = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 4})})
    networks, boosted = plan_networks(config), plan_boosting(config)
    shown = TrainingProgress([*networks, *boosted])
    total = 4 * len(networks) + len(boosted)
    assert epochs(shown._bars) == (0, total)
    shown.on_run_end(networks[0], RUN, reused=True)
    assert epochs(shown._bars) == (0, total - 4), "a found run is no work"
    for number in range(3):
        shown.on_epoch(networks[1], replace(EPOCH, number=number))
    shown.on_run_end(networks[1], RUN, reused=False)
    assert epochs(shown._bars) == (3, total - 5), "an early stop saves an epoch"
    shown.on_run_end(boosted[0], RUN, reused=False)
    assert epochs(shown._bars) == (4, total - 5)
    assert f"[3/{len(networks) + len(boosted)}] boosting income seed 0" in terminal.export_text()
