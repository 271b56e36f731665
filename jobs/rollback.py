"""Put the version in service that served before, at once: `gradops rollback configs/census.toml --reason "..."`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from jobs.console import AsJson, Overrides, show

_Subject = Annotated[
    str, typer.Argument(help="TOML file of the run, or the registered model's name.", show_default=False)
]


def main(
    subject: _Subject,
    overrides: Overrides,
    reason: Annotated[str, typer.Option(help="Why; kept with both versions.")] = "by hand",
    as_json: AsJson = False,
) -> None:
    """Put the version in service that served before the champion; it is not judged again."""
    from pipeline.registry.promotion import rollback
    from pipeline.tracking.connection import require_store
    from pipeline.training.resolve import load_config

    name = load_config(Path(subject), overrides).name if subject.endswith(".toml") else subject
    # Not "the same command": one that was cut short is finished by the next, which would then undo it.
    with require_store("once it is back look which version serves, and roll back if it is the wrong one"):
        done = rollback(name, reason)
    show(
        f"version {done.champion} is the champion of {name} again; version {done.previous} is `previous`",
        asdict(done),
        as_json,
    )
