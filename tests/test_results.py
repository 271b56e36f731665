"""The figures in the documents equal those of the result files next to them, and of the paper's table."""

from __future__ import annotations

import csv
from html import escape
from pathlib import Path

import pytest

from benchmarks.best import tables
from pipeline.comparison.point import Point
from pipeline.report.results import Result, load_result
from pipeline.runs.plan import BOOSTING, SINGLE_TASK, UNIFORM
from tests.conftest import ROOT

RESULTS = ROOT / "docs" / "results"
FILES, PAGES = sorted(RESULTS.glob("*.json")), sorted(RESULTS.glob("*.html"))
LINES = (ROOT / "docs" / "results-census.md").read_text().splitlines()
# What the paper's table calls them; the others are called what they are.
SYSTEMS = {
    "Single-task": SINGLE_TASK.name,
    "Uniform scaling": f"`{UNIFORM}`",
    "GradNorm": "`gradnorm(tau=1.5, lr=0.025)`",
}
SYSTEMS |= {
    "GradVac": "`gradvac(beta=0.01)`",
    "MGDA-UB": "`mgda_ub`",
    "CAGrad": "`cagrad(c=0.5)`",
    "PCGrad": "`pcgrad`",
}
SYSTEMS |= {"IMTL-G": "`imtl_g`", "RotoGrad-R": "`rotograd_r`"}
SYSTEMS |= {f"GradOPS(alpha={alpha})": f"`gradops(alpha={alpha}.0)`" for alpha in (0, 2, -1, -2, -3)}


def figures(result: Result, point: Point) -> list[str]:
    """The figures of a row: AUCs with the marks against uniform, Δm% and Mean Rank."""
    against, spread = result.confidence.against(UNIFORM.name), point.test_sd or {}
    aucs = [f"{auc:.4f}" + (f" ± {spread[task]:.4f}" if spread else "") for task, auc in point.test.items()]
    marks = [i.mark if (i := against.get((point.label, task))) else "" for task in point.test]
    row = result.rows[point.name]
    rank = "-" if row.mean_rank is None else f"{row.mean_rank:.2f}"
    return [*(auc + mark for auc, mark in zip(aucs, marks, strict=True)), f"{row.delta_m_pct:+.3f}", rank]


def rows_of(system: str) -> list[list[str]]:
    """A system's figures in each of the document's tables."""
    return [line.strip("| ").split(" | ")[1:] for line in LINES if line.startswith(f"| {system} |")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_row_is_that_of_its_file(file: Path) -> None:
    result = load_result(file)
    assert len(result.complete) > 5
    for point in result.points if result.kind == "comparison" else ():
        name = point.name if point.name in (SINGLE_TASK.name, BOOSTING.name) else f"`{point.name}`"
        assert figures(result, point) in [row[:5] for row in rows_of(name)], name


@pytest.mark.parametrize("file", sorted((RESULTS / "best").glob("*.json")), ids=lambda file: file.stem)
def test_every_line_on_a_search_is_that_of_its_file(file: Path) -> None:
    document = (ROOT / "docs" / "results-best.md").read_text().splitlines()
    assert {line for line in tables(file) if line} <= {*document}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_shows_all_of_its_file(page: Path) -> None:
    result, html = load_result(page.with_suffix(".json")), page.read_text()
    assert all(part in html for part in (result.made["data"], *(escape(point.label) for point in result.points)))


def test_the_papers_figures_are_those_of_its_table() -> None:
    with (ROOT / "tests" / "data" / "gradops_table1_census.csv").open() as stream:
        paper = list(csv.DictReader(stream))
    assert {row["method"] for row in paper} == set(SYSTEMS)
    for row in paper:
        expected = [row["income"], row["marital"], row["education"], f"{float(row['delta_m_pct']):+.2f}"]
        assert [*expected, row["mean_rank"]] in [found[5:] for found in rows_of(SYSTEMS[row["method"]])]


def test_the_table_of_the_demos_systems_is_of_the_same_runs() -> None:
    result = load_result(RESULTS / "census-full.json")
    shown = [
        "uniform",
        "pcgrad",
        "gradops(alpha=0.0)",
        "gradops(alpha=2.0)",
        "gradops(alpha=-1.0)",
        "gradops(alpha=-3.0)",
    ]
    for point in result.points:
        if point.name in (SINGLE_TASK.name, *shown):
            assert point.test_sd is not None
            aucs = [f"{auc:.4f} ± {point.test_sd[task]:.4f}" for task, auc in point.test.items()]
            line = next(line for line in LINES if line.strip().startswith(point.name) and "±" in line)
            assert [part.strip("▲▼ ") for part in line.split("   ") if "±" in part] == aucs
