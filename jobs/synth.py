"""Generate raw data: `gradops synth clicklog --rows 5000000`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.progress import Progress
from rich.table import Table

from jobs.console import AsJson, err, show


class Generator(StrEnum):
    """What can be generated."""

    clicklog = "clicklog"


def main(
    generator: Annotated[Generator, typer.Argument(help="Which data.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of the log; the truth goes beside it.")] = Path("data/clicklog"),
    rows: Annotated[int, typer.Option(help="Clicks, of all days together.")] = 1_000_000,
    days: Annotated[int, typer.Option(help="Days.")] = 7,
    users: Annotated[int, typer.Option(help="Users.")] = 200_000,
    items: Annotated[int, typer.Option(help="Items.")] = 50_000,
    seed: Annotated[int, typer.Option(help="Equal options and seed, equal log.")] = 0,
    conflict: Annotated[float, typer.Option(help="From 0, purchases and wishes agree, to 1, they are opposed.")] = 0.5,
    first_day: Annotated[datetime, typer.Option(help="First day.", formats=["%Y-%m-%d"])] = datetime(2026, 1, 1),
    as_json: AsJson = False,
) -> None:
    """Generate a click log with labels of known probability; an interrupted one is finished, a finished one kept."""
    from pipeline.sources.clicklog import Options, generate, truth_folder

    assert generator == Generator.clicklog
    sizes = {"rows": rows, "days": days, "users": users, "items": items}
    options = Options(**sizes, seed=seed, conflict=conflict, first_day=first_day.date())
    with Progress(console=err, disable=not err.is_terminal) as progress:
        bar = progress.add_task("clicks", total=rows)
        summary = generate(options, out, lambda made: progress.advance(bar, made))
    folders = {"out": out, "truth": truth_folder(out)}
    show(_table(summary, out), summary | folders, as_json)


def _table(summary: dict[str, Any], out: Path) -> Table:
    title = f"{out}: {summary['rows']} clicks of {summary['days']} day(s)"
    table = Table("task", title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("positive", "best reachable AUC"):
        table.add_column(column, justify="right")
    for task, rate in summary["positive_rates"].items():
        auc = summary["ceiling_auc"][task]
        table.add_row(task, f"{rate:.2%}", "one class only" if auc is None else f"{auc:.4f}")
    return table
