"""What a command shows of the preparation of its data, and when it first says something."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from jobs import console, steps
from jobs.preparing import PreparingBars
from jobs.steps import StepBars
from pipeline.files.content import identity
from pipeline.runtime.executor import LOCAL_EXECUTOR
from tests.commands import DEBUG, GRADOPS, places, run
from tests.pipeline.small_shop import shop_log


def test_a_slow_preparation_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_SILENT", 0.0)
    monkeypatch.setattr(steps, "_BETWEEN", 0.0)
    code, _, err = run("prepare", DEBUG, *places())
    assert code == 0
    assert "hashing files: 1 of 1" in err
    assert "counting values of training rows: 1 of 1" in err
    assert "encoding rows: 2 of 2" in err


def test_a_fast_one_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_SILENT", 600.0)  # whatever else the machine does
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
@pytest.mark.parametrize(
    ("words", "first"),
    [
        *((f"{command} absent.toml", "config: absent.toml") for command in ("prepare", "train", "compare", "search")),
        ("promote absent.toml", "config: absent.toml"),
        ("report absent.json", "report of: absent.json"),
        ("explain absent configs/absent.toml", "model: absent"),
        ("score --model absent rows scores", "model: absent"),
        ("serve absent", "model: absent"),
        ("label absent", "events: absent"),
        ("init absent", "reading absent"),
        ("import part.csv logs", "reading part.csv"),
    ],
)
def test_the_first_line_comes_within_a_second_of_work(words: str, first: str) -> None:
    Path("part.csv").write_text("a,b\n1,2\n")
    with subprocess.Popen([*GRADOPS, *words.split()], stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr is not None
        assert started.stderr.readline() == f"{first}\n"
        fields = Path(f"/proc/{started.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])  # of the process itself, whatever else the machine does
        started.kill()
    assert ticks / 100 < 1.0


def test_a_draft_and_an_import_say_how_far_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_SILENT", 0.0)
    monkeypatch.setattr(steps, "_BETWEEN", 0.0)
    shop_log(600).drop("tags").write_csv("clicks.csv")
    code, _, err = run("import", "clicks.csv", "logs")
    assert code == 0
    assert "finding types: 1 of 1\npieces of clicks.csv: 1\nwriting Parquet: 1 of 1\npieces of clicks.csv: 1\n" in err
    code, _, err = run("init", "logs", "--label", "bought", "--yes")
    assert code == 0
    for line in (
        "reading rows: 1 of 1",
        "choosing features: 7 of 7",
        "looking for crosses: 1 of 1",
        "looking for leaks: 1 of",
    ):
        assert line in err


def test_bars_of_a_terminal_are_drawn_during_steps_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(width=80, force_terminal=True, color_system=None, file=io.StringIO())
    monkeypatch.setattr(console, "err", terminal)
    monkeypatch.setattr(steps, "err", terminal)
    bars = StepBars()
    for _ in bars.each("outer", range(2), 2):
        assert list(bars.each("inner", "ab")) == ["a", "b"]
        assert bars._bars.live.is_started
        assert [task.description for task in bars._bars.tasks] == ["outer"]
    assert not bars._bars.live.is_started, "a question may be asked now"
    assert bars._bars.tasks == []
