"""Label the clicks of an event stream: `gradops label logs/events --out data/clicks --window 24h`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from jobs.console import AsJson, announced, file_notes, show
from jobs.tables import Figures

Unit = Literal["s", "ms", "us", "ns"]  # as in features.transforms, which would load Polars for `--help`


def main(
    events: Annotated[
        str,
        typer.Argument(
            help="Parquet file, folder or glob of events.", show_default=False, callback=announced("events")
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the labelled clicks.")] = Path("data/clicks"),
    window: Annotated[
        str, typer.Option(help="Longest time from a click to an event credited to it: 90m, 24h, 1d12h.")
    ] = "24h",
    user: Annotated[str, typer.Option(help="Column with the user.")] = "user_id",
    item: Annotated[str, typer.Option(help="Column with the item.")] = "item_id",
    time: Annotated[str, typer.Option(help="Column with the time, a Datetime, or a number with --unit.")] = "ts",
    unit: Annotated[
        Unit | None, typer.Option(help="Unit of a time that is a number since 1970.", show_default=False)
    ] = None,
    event: Annotated[str, typer.Option(help="Column with the kind of event.")] = "event",
    click: Annotated[str, typer.Option(help="Event values that are clicks, the rows to label.")] = "view,click,pv",
    purchase: Annotated[str, typer.Option(help="Event values that are purchases.")] = "buy,purchase",
    cart: Annotated[str, typer.Option(help="Event values that are carts.")] = "cart",
    wish: Annotated[str, typer.Option(help="Event values that are wishes.")] = "fav,favourite,wish",
    ignore: Annotated[str, typer.Option(help="Event values to ignore.")] = "",
    partition: Annotated[
        list[str] | None, typer.Option(help="NAME=TYPE: a key of folders NAME=... as a column.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give each click labels for the events credited to it: 1, 0, or null while its window is unfinished."""
    from jobs.steps import StepBars
    from pipeline.files.partitions import parse_partitions
    from pipeline.sources.attribution import Events
    from pipeline.sources.labelling import label_events

    values = {"click": click, "purchase": purchase, "cart": cart, "wish": wish, "ignore": ignore}
    roles = {role: tuple(v.strip() for v in text.split(",") if v.strip()) for role, text in values.items()}
    columns = Events(user=user, item=item, time=time, unit=unit, event=event, **roles)
    summary = label_events(events, out, columns, window, parse_partitions(partition or []), StepBars())
    show(_table(summary, out), summary | {"out": out}, as_json)


def _table(summary: dict[str, Any], out: Path) -> Figures:
    title = f"{out}: {summary['clicks']} clicks of {summary['days']} day(s)"
    rows = []
    for task, found in summary["tasks"].items():
        known = found["known"]
        share = f"{found['positives'] / known:.2%}" if known else "-"
        rows.append([task, str(known), str(summary["clicks"] - known), share])
    notes = file_notes(summary["left_out"], summary["widened"])
    return Figures(["task", "known", "unknown", "positive"], rows, title, notes)
