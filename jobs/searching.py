"""What a search shows while it works: a live table on a terminal, a line for each finished point elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from jobs.console import Bars, err

if TYPE_CHECKING:
    from pipeline.comparison.point import Point
    from pipeline.search.search import Progress

_PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}
_ROWS, _NEXT = 12, 3  # points and choices to come that the table shows
_AS_WRITTEN = "as written"


class SearchDisplay:
    """Shows a search while the block runs.

    Args:
        tasks: The tasks, a column each.
        places: Number of points that the search has; infinite if only a budget ends it.
        bars: The bars of the baselines, which the table replaces.
        is_live: Whether to show a table, which a budget's search has on a terminal.
    """

    def __init__(self, tasks: Sequence[str], places: float, bars: Bars, *, is_live: bool) -> None:
        self._tasks, self._places, self._bars = tasks, places, bars
        self._printed: set[int | None] = set()
        self._live = Live(console=err, auto_refresh=False) if is_live and err.is_terminal else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def on_points(self, points: Sequence[Point]) -> None:
        """Print a line for each point that is new among all finished ones, unless the table shows them."""
        for point in points:
            if point.trial not in self._printed:
                self._printed.add(point.trial)
                if self._live is None:
                    err.print(self._line(point, len(self._printed)), **_PLAIN)

    def on_progress(self, progress: Progress) -> None:
        """Draw the table anew."""
        if self._live is not None:
            self._bars.stop()
            self._live.start()
            self._live.update(search_table(progress, self._tasks), refresh=True)

    def _line(self, point: Point, number: int) -> str:
        aucs = ", ".join(f"{task} {point.val[task]:.4f}" for task in self._tasks if task in point.val)
        auc = f"validation AUC {fmean(point.val.values()):.4f} ({aucs})" if point.val else ""
        auc += ", Pareto-optimal" if point.pareto else ""
        of = f"[{number}]" if math.isinf(self._places) else f"[{number}/{self._places:.0f}]"
        return f"{of} trial {point.trial} {point.name}: " + (auc or f"{point.state}, {point.reason}")


def search_table(progress: Progress, tasks: Sequence[str]) -> RenderableType:
    """The best and the newest points, what is running, and what comes next.

    Args:
        progress: What the search is doing.
        tasks: The tasks, a column each.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("trial", justify="right")
    table.add_column("settings", ratio=1)
    for task in [*tasks, "mean"]:
        table.add_column(task, justify="right")
    table.add_column("front")
    complete = sorted((p for p in progress.points if p.val), key=lambda p: -fmean(p.val.values()))
    for point in complete[:_ROWS]:
        aucs = [f"{point.val[task]:.4f}" for task in tasks] + [f"{fmean(point.val.values()):.4f}"]
        table.add_row(str(point.trial), Text(point.name), *aucs, "●" if point.pareto else "")
    for number, chosen in progress.running.items():
        table.add_row(str(number), Text(in_short(chosen)), *["…"] * (len(tasks) + 1), "")
    given_up = len(progress.points) - len(complete)
    counts = f"{len(progress.points)} trials finished, {given_up} of them given up or failed"
    left = "" if math.isinf(progress.left) else f"; {clock(progress.left)} left"
    lines = [Text(f"{counts}{left}; validation AUC, best first")]
    if progress.waiting:
        coming = "; ".join(in_short(one) for one in progress.waiting[:_NEXT])
        more = f"; and {len(progress.waiting) - _NEXT} more" if len(progress.waiting) > _NEXT else ""
        lines.append(Text(f"to come: {coming}{more}; then the sampler's choice"))
    return Group(table, *lines)


def in_short(chosen: Mapping[str, float | str]) -> str:
    """A choice for people: the method, and what else differs from the config as it is written."""
    from pipeline.comparison.point import shown

    parts = [
        value if name == "method" and isinstance(value, str) else f"{name}={shown(value)}"
        for name, value in chosen.items()
    ]
    return ", ".join(parts) + (f", else {_AS_WRITTEN}" if len(parts) == 1 else "")


def clock(seconds: float) -> str:
    """A time as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
