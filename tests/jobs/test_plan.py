"""`gradops plan`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import DEBUG, places, run

FUSED = ("train.table_kernel=fused", "train.table_optimizer=rowwise_adagrad", "train.batch_size=64")


def options(folder: Path, *more: str) -> list[str]:
    told = (f"data.prepared={folder}", *more)
    return [*places(), *(part for value in told for part in ("--set", value))]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bandwidth", "fast"], "such as 10Gbit, found `fast`"),
        (["--bandwidth", "0Gbit"], "such as 10Gbit, found `0Gbit`"),
        ([], f"run `gradops prepare {DEBUG}` first"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, arguments: list[str], said: str) -> None:
    code, _, error = run("plan", DEBUG, *options(tmp_path), *arguments)
    assert code == 2
    assert said in " ".join(error.split())


def test_every_reason_against_a_plan_is_listed(tmp_path: Path) -> None:
    assert run("prepare", DEBUG, *options(tmp_path))[0] == 0
    code, _, error = run("plan", DEBUG, *options(tmp_path, "train.table_kernel=plain"), "--ranks", "1")
    assert code == 2
    assert 'set `train.table_kernel = "fused"`' in error
    assert "ranks should be from 2 up" in error


@pytest.mark.slow
def test_a_plan_is_printed(tmp_path: Path) -> None:
    assert run("prepare", DEBUG, *options(tmp_path, *FUSED))[0] == 0
    code, text, _ = run("plan", DEBUG, *options(tmp_path, *FUSED), "--ranks", "2")
    assert code == 0
    assert "2 ranks are expected to do" in text
    code, printed, _ = run("plan", DEBUG, *options(tmp_path, *FUSED), "--bandwidth", "10Gbit", "--json")
    plan = json.loads(printed)
    assert code == 0
    assert plan["costs"]["bandwidth"] == 1.25e9
    assert min(plan["costs"].values()) > 0
    assert plan["times"] == pytest.approx(plan["costs"]["alone"] / plan["step"])
    assert len(plan["exchanges"]) == 3
