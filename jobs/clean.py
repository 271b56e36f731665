"""Removal of what nothing needs any more: `gradops clean shop.toml --keep 14d --dry-run`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.console import AsJson, Config, Overrides, locked, show
from jobs.tables import Figures

if TYPE_CHECKING:
    from pipeline.cleaning.clean import Cleaning

_keep = typer.Option(
    "--keep", help="Age from which things go, as 14d or 8w.", show_default="the config's `[daily] keep`", metavar="AGE"
)
_dry_run = typer.Option("--dry-run", help="Show what would go and what would stay, and remove nothing.")


def main(
    config: Config,
    overrides: Overrides,
    keep: Annotated[str | None, _keep] = None,
    dry_run: Annotated[bool, _dry_run] = False,
    as_json: AsJson = False,
) -> None:
    """Remove runs, prepared data, checkpoints, drafts and model files that are old and that nothing needs."""
    from features.errors import InputError
    from pipeline.cleaning.clean import clean
    from pipeline.config.age import parse_age
    from pipeline.tracking.connection import require_store
    from pipeline.training.resolve import load_config

    loaded = load_config(config, [*overrides, *([] if keep is None else [f'daily.keep="{keep}"'])])
    if not loaded.daily.keep:
        raise InputError("how much is to be kept? Give `--keep 14d`, or `keep` in the section `[daily]` of the config")
    age = parse_age(loaded.daily.keep)
    with locked(loaded), require_store("nothing is removed, since nobody knows which models are in use"):
        cleaning = clean(loaded, age, dry_run=dry_run)
    show(_table(cleaning, dry_run), _data(cleaning, dry_run), as_json)


def summary_line(cleaning: Cleaning) -> str:
    """The removed things in one line."""
    from pipeline.files.sizes import size

    counts = Counter(entry.kind for entry in cleaning.going)
    kinds = ", ".join(f"{number} {kind}" for kind, number in counts.items()) or "nothing"
    return f"cleaned: {kinds}, {size(sum(entry.size for entry in cleaning.going))}"


def _data(cleaning: Cleaning, dry_run: bool) -> dict[str, Any]:
    entries = [{k: v for k, v in asdict(entry).items() if k != "remove"} for entry in cleaning.entries]
    return {"dry_run": dry_run, "bytes": sum(entry.size for entry in cleaning.going), "entries": entries}


def _table(cleaning: Cleaning, dry_run: bool) -> Figures:
    from pipeline.files.sizes import size

    verb = "would go" if dry_run else "gone"
    found: dict[tuple[str, str, str], list[int]] = {}
    for entry in cleaning.entries:
        found.setdefault((entry.kind, verb if entry.goes else "stays", entry.why), []).append(entry.size)
    rows = [[*row, str(len(sizes)), size(sum(sizes))] for row, sizes in found.items()]
    title = "a dry run: nothing is removed" if dry_run else summary_line(cleaning)
    return Figures(("kind", "", "why", "number", "size"), rows, title, are_texts=True)
