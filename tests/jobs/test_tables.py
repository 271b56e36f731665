"""Tables at the widths that terminals have: every figure stays whole, with its mark."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from jobs.tables import Figures

METHODS = (
    "single-task",
    "gradops(alpha=-2.0)",
    "static(weight=(0.5, 1.0, 1.5))",
    "rotograd(lr=0.02)+rotation(seed=17)",
)
TASKS = ("income", "marital", "education", "a_task_with_a_name_longer_than_any_terminal_is_wide", "wish", "cart")


def comparison(tasks: int) -> Figures:
    columns = ["system", *TASKS[:tasks], "average", "Δm% (drop)", "Mean Rank"]
    rows = [
        [method, *(f"0.{n}{t}17 ± 0.00{t}{n}▲" for t in range(tasks)), f"0.9{n}33▼", f"{n:+.2f}", f"{n}.00"]
        for n, method in enumerate(METHODS)
    ]
    return Figures(columns, rows, "census: test AUC, mean ± sd of 5 seeds", ["Δm%: mean drop of 3 tasks, 0.25 of it"])


def printed(table: Figures, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(table, highlight=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 72, 80, 100, 120, 10_000])
@pytest.mark.parametrize("tasks", [1, 3, 6])
def test_no_digit_and_no_mark_is_lost(tasks: int, width: int) -> None:
    table = comparison(tasks)
    text = printed(table, width)
    assert "…" not in text
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    for row in table.rows:
        assert all(cell in text for cell in row[1:]), "figures never fold"
    letters = "".join(text.split())
    for name in (*METHODS, *table.columns[1:]):
        assert all("".join(piece.split()) in letters for piece in re.split(r"(?<=[(,\s])", name))


@pytest.mark.parametrize("width", [80, 10_000])
def test_three_tasks_are_a_table_at_eighty_columns(width: int) -> None:
    """As the demo prints them, in a terminal and in a pipe; a line has one system, its name may take two."""
    rows = [[METHODS[1], "0.9503▲", "0.9947 ", "0.8951▲", "0.9467 ", "+0.00", "4.33"]]
    lines = printed(Figures(["system", *TASKS[:3], "average", "Δm% (drop)", "Mean Rank"], rows), width).splitlines()
    (line,) = [line for line in lines if "0.9503" in line]
    assert line.split()[1:] == ["0.9503▲", "0.9947", "0.8951▲", "0.9467", "+0.00", "4.33"]


@pytest.mark.parametrize("width", [20, 40, 80])
def test_texts_fold_between_words_and_numbers_stay_whole(width: int) -> None:
    found, rule = "0.8134 of 20,000 rows", "not below 0.8200 by more than 0.005"
    table = Figures(["check", "", "found", "rule"], [["AUC of purchase", "NO", found, rule]], are_texts=True)
    words = printed(table, width).split()
    assert {*found.split(), *rule.split(), "AUC", "purchase", "NO"} <= {*words}


def test_a_table_without_rows_shows_its_headings() -> None:
    assert printed(Figures(["trial", "income"], []), 80).split()[:2] == ["trial", "income"]
