"""Rollback to the version that served before, at once: `gradops rollback configs/census.toml --reason "..."`."""

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
    reason: Annotated[str, typer.Option(help="Reason, kept in the tags of both versions.")] = "by hand",
    as_json: AsJson = False,
) -> None:
    """Put the version that served before the champion back in service, without judging it again."""
    from pipeline.registry.promotion import rollback
    from pipeline.tracking.connection import require_store
    from pipeline.training.resolve import load_config

    name = load_config(Path(subject), overrides).name if subject.endswith(".toml") else subject
    # The advice is not "the same command": an unfinished rollback is finished first, and would then be undone.
    with require_store("once it is back, see which version serves, and roll back if it is the wrong one"):
        done = rollback(name, reason)
    show(
        f"version {done.champion} is the champion of {name} again; version {done.previous} is `previous`",
        asdict(done),
        as_json,
    )
