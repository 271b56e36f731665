"""The table of GAUC that `compare` and `search` print where the spec has a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.console import out
from jobs.tables import Figures

if TYPE_CHECKING:
    from pipeline.comparison.comparison import Comparison


def show_gauc(comparison: Comparison) -> None:
    """Print the test GAUC of each system; nothing where the spec has no group."""
    from pipeline.comparison.gauc import gauc_columns, gauc_rows, gauc_title

    if rows := gauc_rows(comparison):
        out.print(Figures(gauc_columns(comparison), rows, gauc_title(comparison)))
