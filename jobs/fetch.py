"""Put raw data in place: `gradops fetch census`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from jobs.console import AsJson, show
from pipeline.sources.source import FetchedSource, sources_of

FETCHED = sources_of(FetchedSource)
Source = StrEnum("Source", list(FETCHED))  # type: ignore[misc]  # members known at run time only


def main(
    source: Annotated[Source, typer.Argument(help="Which data.", show_default=False)],
    to: Annotated[Path, typer.Option(help="Folder of all raw data.")] = Path("data"),
    local: Annotated[
        Path | None, typer.Option("--from", help="Folder with a local copy of the raw files.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a data set and check it; what is already there is kept."""
    paths = FETCHED[source].fetch(to / source, local)
    show("\n".join(map(str, paths)), {"files": paths}, as_json)
