"""What a command shows of the preparation of its data, and when it first says something."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from jobs import preparing
from jobs.preparing import PreparingBars
from pipeline.files.content import identity
from pipeline.runtime.executor import LOCAL_EXECUTOR
from tests.commands import DEBUG, GRADOPS, places, run


def test_a_slow_preparation_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "_SILENT", 0.0)
    monkeypatch.setattr(preparing, "_BETWEEN", 0.0)
    code, _, err = run("prepare", DEBUG, *places())
    assert code == 0
    assert "hashing files: 1 of 1 pieces" in err
    assert "counting values of training rows: 1 of 1 pieces" in err
    assert "encoding rows: 2 of 2 pieces" in err


def test_a_fast_one_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "_SILENT", 600.0)  # whatever else the machine does
    code, _, err = run("prepare", DEBUG, *places())
    assert (code, err) == (0, f"config: {DEBUG}\n")


def test_work_that_is_shown_is_the_same_work(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(5)]
    for path in paths:
        path.write_text(path.name)

    def few() -> Iterator[Path]:
        yield from paths

    with PreparingBars() as bars:
        found = list(bars.shown(LOCAL_EXECUTOR).map(partial(identity, declared={}), few(), threads=2))
    assert found == [identity(path, {}) for path in paths]


@pytest.mark.slow  # measures processor time
@pytest.mark.parametrize("command", ["prepare", "train", "compare", "search", "promote"])
def test_the_first_line_comes_within_a_second_of_work(command: str) -> None:
    words = [*GRADOPS, command, "absent.toml"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr is not None
        assert started.stderr.readline() == "config: absent.toml\n"
        fields = Path(f"/proc/{started.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])  # of the process itself, whatever else the machine does
        started.communicate()
    assert ticks / 100 < 1.0
