"""The main job: `gradops compare configs/census.toml`."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.closing import closing_lines, show_lines, show_registered
from jobs.console import AsJson, Config, Overrides, locked, out, show
from jobs.gauc import show_gauc
from jobs.tables import Figures

if TYPE_CHECKING:
    from pipeline.comparison.comparison import Comparison, Row
    from pipeline.registry.register import Registered
    from pipeline.training.resources import ResourceCheck


class Ties(StrEnum):
    """How Mean Rank breaks ties."""

    average = "average"
    ordinal = "ordinal"


def main(
    config: Config,
    overrides: Overrides,
    methods: Annotated[
        str | None, typer.Option(help='Methods, as "uniform,gradops(alpha=-2)", or "all".', show_default="the config's")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Number of seeds.", min=1, show_default="the config's")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each run.", min=1, show_default="the config's")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Number of runs at the same time; 0: one a core.", show_default="the config's")
    ] = None,
    ties: Annotated[Ties, typer.Option(help="How Mean Rank breaks ties; published tables use ordinal.")] = Ties(
        "average"
    ),
    as_json: AsJson = False,
) -> None:
    """Train single-task models and every method, compare them, and register the Pareto-optimal models."""
    from jobs.preparing import prepared_with_bars
    from jobs.progress import TrainingProgress, check_resources
    from pipeline.comparison.compare import compare
    from pipeline.comparison.comparison import comparison_fingerprint, plan_boosting, plan_candidates, plan_networks
    from pipeline.comparison.verdicts import verdicts
    from pipeline.registry.register import register_comparison
    from pipeline.tracking.group import RunGroup
    from pipeline.tracking.tracker import Tracker
    from pipeline.training.resolve import load_config

    chosen = {"compare.seeds": seeds, "train.epochs": epochs, "compare.workers": workers}
    options = [f"{key}={value}" for key, value in chosen.items() if value is not None]
    options += [] if methods is None else [f"compare.methods={split_methods(methods)}"]
    loaded = load_config(config, [*overrides, *options])
    prepared = prepared_with_bars(loaded)
    planned = plan_networks(loaded)
    resources = check_resources(planned, prepared, loaded.compare.workers)
    with (
        locked(loaded),
        Tracker.open(loaded, prepared, RunGroup.comparison(comparison_fingerprint(loaded, prepared))) as tracker,
    ):
        with TrainingProgress([*planned, *plan_boosting(loaded), *plan_candidates(loaded)]) as progress:
            comparison = compare(loaded, prepared, [progress, tracker])
        sentences = verdicts(comparison.findings)
        registered = register_comparison(comparison, tracker, sentences)
    lines = closing_lines(registered, sentences, loaded.gate, config, overrides)
    _show(comparison, registered, ties.value, resources, lines, as_json=as_json)


def split_methods(methods: str) -> list[str]:
    """The methods of a text that commas separate; commas inside parentheses belong to a method's options."""
    return [text.strip() for text in re.split(r",(?![^(]*\))", methods)]


def _show(
    comparison: Comparison,
    registered: Registered,
    ties: str,
    resources: ResourceCheck,
    lines: list[str],
    *,
    as_json: bool,
) -> None:
    from pipeline.tracking.store import redacted_store_uri

    rows = comparison.table("test", "ordinal" if ties == "ordinal" else "average")
    name = comparison.config.name
    data: dict[str, Any] = {"table": [asdict(row) for row in rows], "model": name, "ties": ties}
    data |= {"aliases": registered.aliases, "verdicts": lines}
    data |= {"intervals": [asdict(i) for i in comparison.confidence.intervals], "file": comparison.path}
    data |= {"serving": {system: asdict(cost) for system, cost in registered.costs.items()}}
    data |= {"bytes": asdict(resources.run), "metrics": comparison.findings.metrics["test"]}
    show(_table(comparison, rows, ties), data, as_json)
    if not as_json:
        show_gauc(comparison)
        show_registered(registered)
        out.print(f"intervals: {comparison.path.with_suffix('.md')}", highlight=False, soft_wrap=True)
        browse = f"{_mlflow()} ui --backend-store-uri {redacted_store_uri()}"
        out.print(f"see every run: {browse}", highlight=False, soft_wrap=True)
        show_lines(lines)


def _table(comparison: Comparison, rows: list[Row], ties: str) -> Figures:
    from pipeline.comparison.table import table_cells, table_columns, table_notes, table_title

    cells = [table_cells(comparison, row) for row in rows]
    return Figures(table_columns(comparison), cells, table_title(comparison), table_notes(comparison, ties))


def _mlflow() -> Path:
    """The `mlflow` command in the folder of this Python, relative to the working folder where possible."""
    command = Path(sys.executable).with_name("mlflow")
    return command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command
