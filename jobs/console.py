"""What commands share: their common options, and how they print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

# Results go to standard output; progress and errors to standard error, so that `--json` can be piped.
out = Console(width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True)

Config = Annotated[Path, typer.Argument(help="TOML file of the run.", show_default=False)]
_set = typer.Option(
    "--set",
    help="Override a value, as section.key=value.",
    default_factory=list,
    metavar="KEY=VALUE",
    show_default=False,
)
Overrides = Annotated[list[str], _set]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def show(text: Any, data: Any, as_json: bool) -> None:
    """Print a result for a person, or for a machine."""
    if as_json:
        sys.stdout.write(json.dumps(data, indent=1, default=str) + "\n")
    else:
        out.print(text, highlight=False)
