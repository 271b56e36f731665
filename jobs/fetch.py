"""Download of raw data: `gradops fetch census`."""

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
    source: Annotated[Source, typer.Argument(help="Name of the data set.", show_default=False)],
    to: Annotated[Path, typer.Option(help="Folder of all raw data; each data set has a folder in it.")] = Path("data"),
    local: Annotated[
        Path | None, typer.Option("--from", help="Folder with a local copy of the raw files.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a data set and check it; files that are there already are kept."""
    paths = FETCHED[source].fetch(to / source, local)
    show("\n".join(map(str, paths)), {"files": paths}, as_json)
