"""The table of GAUC below a comparison's table of AUC, where the spec has a group."""

from __future__ import annotations

from statistics import fmean, stdev

from pipeline.comparison.comparison import Comparison


def gauc_title(comparison: Comparison) -> str:
    """The table's title; empty for no table."""
    group = comparison.config.spec.group
    return f"test GAUC: the mean of the AUC within each `{group}`" if group else ""


def gauc_columns(comparison: Comparison) -> list[str]:
    """The headings of the table's columns."""
    return ["system", *comparison.config.tasks, "average"]


def gauc_rows(comparison: Comparison) -> list[list[str]]:
    """Each system's figures as text, one row a system; none where the spec has no group."""
    return [[system, *_cells(comparison, system)] for system in comparison.systems] if gauc_title(comparison) else []


def _cells(comparison: Comparison, system: str) -> list[str]:
    found = [_of_seeds(comparison, system, task) for task in comparison.config.tasks]
    return [*map(_text, found), f"{fmean(fmean(values) for values in found):.4f}"]


def _of_seeds(comparison: Comparison, system: str, task: str) -> list[float]:
    return [run.test[task]["gauc"] for run in comparison.systems[system] if task in run.tasks]


def _text(values: list[float]) -> str:
    return f"{fmean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")
