"""The README's five commands, typed as they stand there, from a CSV to scores."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import ROOT
from tests.docs.blocks import blocks
from tests.pipeline.small_shop import shop_log

# The only addition: less training than a reader would want.
BUDGET = {"compare": ["--set", "train.max_steps=40", "--workers", "1"]}


def commands() -> list[list[str]]:
    """The words of each line of the block under "Your own data"."""
    section = (ROOT / "README.md").read_text().partition("\n## Your own data\n")[2]
    return [shlex.split(line, comments=True) for line in blocks("", section)[0].splitlines()]


def test_there_are_five_commands_at_most_and_the_first_two_do_as_they_say() -> None:
    lines = commands()
    assert len(lines) <= 5
    assert [words[:2] for words in lines[:2]] == [["gradops", "import"], ["gradops", "init"]]


@pytest.mark.slow  # a comparison
def test_the_readmes_commands_lead_from_a_csv_to_scores() -> None:
    log = shop_log(2000).rename({"bought": "purchase", "carted": "cart"})
    log.with_columns(pl.col("tags").cast(pl.List(pl.String)).list.join("|")).write_csv("clicks.csv")
    said = ""
    for _, command, *rest in commands():
        words = [sys.executable, "-m", "jobs", command, *rest, *BUDGET.get(command, [])]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        said += done.stdout
    scores = pl.read_parquet("scores/*.parquet")
    assert scores.height == log.height
    assert {"purchase", "cart"} <= {*scores.columns}
    assert scores["purchase"].is_between(0, 1).all()
    assert list(Path("runs/comparisons").glob("*.html"))
    assert "logs.toml: 2 task(s)" in said
