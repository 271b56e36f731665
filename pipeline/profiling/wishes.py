"""The choices that a user makes before a config is drafted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Wishes:
    """The choices that the user has made.

    Args:
        name: Name of the experiment; None for that of the data.
        labels: Columns, or ``name=SQL``; empty to be asked.
        time: The time of a row's event; None to be found.
        group: The column that rows are grouped by; None to be found.
        exclude: Columns that may not be features.
        keep: Columns that are known before the row's event, whatever their names say.
    """

    name: str | None = None
    labels: Sequence[str] = ()
    time: str | None = None
    group: str | None = None
    exclude: Sequence[str] = ()
    keep: Sequence[str] = ()
