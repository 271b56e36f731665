"""What is wrong with this installation, and the fix: `gradops doctor`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from jobs.console import AsJson, show

if TYPE_CHECKING:
    from pipeline.config.run import RunConfig


_Configs = Annotated[
    list[Path] | None,
    typer.Argument(help="TOML files whose runs and searches are looked at.", show_default="the folders `runs` here"),
]


def main(configs: _Configs = None, as_json: AsJson = False) -> None:
    """Check the installation, the device, the stores, what waits to be sent and the disk; exit 1 if one is wrong."""
    from pipeline.doctor.doctor import examine

    findings = list(examine(Path.cwd(), [_loaded(path) for path in configs or ()]))
    table = Table("", "found", "fix", show_edge=False)
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else "[red]wrong[/]"
        table.add_row(f"{mark} {finding.subject}", finding.found, finding.fix)
    show(table, [asdict(finding) for finding in findings], as_json)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _loaded(path: Path) -> RunConfig:
    from pipeline.training.resolve import load_config  # which imports torch: only where it is asked for

    return load_config(path)
