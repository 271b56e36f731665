"""The needs of runs are printed before training, and runs that cannot fit are refused before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from features.encoder import Encoder
from features.errors import InputError
from pipeline.comparison.comparison import plan_networks
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.files.sizes import size
from pipeline.training.resources import WORKER, ResourceCheck
from pipeline.training.runner import concurrency
from pipeline.training.training import train
from tests.commands import DEBUG, places, run
from tests.conftest import debug_config

Checked = Callable[..., ResourceCheck]


@pytest.fixture
def checked(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> Checked:
    """The resource check of the debug comparison on a machine of some size."""

    def of(memory: int | None, disk: int = 1 << 40, workers: int = 2, *overrides: str) -> ResourceCheck:
        config = debug_config(tmp_path, f"data.prepared={few[0].data.prepared}", *overrides)
        left: dict[str, Any] = {"memory_left": lambda device: memory, "disk_left": lambda folder: disk}
        return ResourceCheck.of([p.config for p in plan_networks(config)], few[1], workers, **left)

    return of


def test_it_is_refused_from_the_first_byte_that_is_missing(checked: Checked) -> None:
    needed, disk = checked(None).memory, checked(None).disk
    checked(needed, disk).check()
    with pytest.raises(InputError, match=r"1 problem.*\n  - memory"):
        checked(needed - 1, disk).check()
    with pytest.raises(InputError, match=r"1 problem.*\n  - disk.*set `runs` to a folder on another disk"):
        checked(needed, disk - 1).check()
    checked(None, disk).check()


@pytest.fixture
def large_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table with a thousand times its rows."""
    real = Encoder.tables
    monkeypatch.setattr(Encoder, "tables", lambda self: [replace(t, rows=1000 * t.rows) for t in real(self)])


@pytest.mark.usefixtures("large_tables")
def test_the_refusal_explains_itself(checked: Checked) -> None:
    with pytest.raises(InputError) as error:
        checked(3 << 20, 1000).check()
    text = str(error.value)
    assert "this does not fit here: 2 problem(s)" in text
    assert "memory: 6 networks need, 2 at a time, about" in text
    assert "3.0 MiB available" in text
    for part in ("weights", "gradients", "optimizer", "copies", "width", "max_size", "min_count", "buckets"):
        assert part in text
    assert '`train.table_optimizer = "lazy_adam"`' in text
    assert '`train.table_optimizer = "rowwise_adagrad"`' in text
    assert "`train.async_checkpoints = false`" in text
    assert "fewer `compare.workers`" in text
    tables = checked(None).tables
    assert tables[0].rows > 10_000
    assert f"{tables[0].name} {size(4 * tables[0].rows * tables[0].width)}" in text


@pytest.mark.usefixtures("large_tables")
def test_nothing_is_proposed_that_does_not_help(checked: Checked) -> None:
    with pytest.raises(InputError) as error:
        checked(1000, 1 << 40, 1, "train.table_optimizer=sgd").check()
    assert "table_optimizer" not in str(error.value)
    assert "compare.workers" not in str(error.value)
    with pytest.raises(InputError) as error:
        checked(1000, 1 << 40, 1, "train.async_checkpoints=false").check()
    assert "async_checkpoints" not in str(error.value)


def test_workers_multiply_what_runs_hold_and_the_disk_is_for_all(checked: Checked) -> None:
    one, two = checked(None, 1 << 40, 1), checked(None, 1 << 40, 2)
    assert one.memory == one.run.memory
    assert two.memory == 2 * (one.memory + WORKER)
    for found, workers in ((one, 1), (two, 2)):
        assert found.disk == 6 * one.run.disk + workers * one.run.checkpoints
    assert "6 networks need about" in one.line
    assert "6 networks need, 2 at a time, about" in two.line


def test_finished_runs_need_nothing(checked: Checked, tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    config = debug_config(tmp_path, f"data.prepared={few[0].data.prepared}", "compare.methods=['uniform']")
    for planned in plan_networks(config):
        train(planned.config, few[1])
    found = checked(0, 0, 2, "compare.methods=['uniform']")
    found.check()
    assert (found.missing, found.memory, found.disk) == (0, 0, 0)
    assert checked(None).missing == 2


@pytest.mark.parametrize(("workers", "runs", "number"), [(1, 5, 1), (4, 3, 3), (2, 0, 0), (0, 0, 0)])
def test_no_more_processes_than_runs(workers: int, runs: int, number: int) -> None:
    assert concurrency(workers, runs) == number


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_command_that_does_not_fit_is_exit_code_2_and_writes_nothing(
    command: str,
) -> None:
    code, out, err = run(command, DEBUG, *places(), "--set", f"model.bottom=[{10**10}]", "--json")
    assert (code, out) == (2, "")
    assert "this does not fit here" in err
    assert {path.name for path in Path().iterdir()} == {"debug"}
    assert {path.name for path in Path("debug").iterdir()} == {"prepared"}
    if command == "train":
        code, _, err = run(command, DEBUG, *places())
        assert code == 0
        assert "1 network needs about" in err
