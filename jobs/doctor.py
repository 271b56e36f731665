"""Diagnosis of this installation, with a fix for each problem: `gradops doctor`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from jobs.console import AsJson, out, show

if TYPE_CHECKING:
    from pipeline.config.run import RunConfig
    from pipeline.doctor.finding import Finding


_NARROW = 60  # columns of a terminal below which findings have no columns of their own
_Configs = Annotated[
    list[Path] | None,
    typer.Argument(help="TOML files whose runs and searches to check.", show_default="the folders `runs` here"),
]


def main(configs: _Configs = None, as_json: AsJson = False) -> None:
    """Check the installation, the device, the stores, unsent runs and the disk; exit with 1 if a check fails."""
    from pipeline.doctor.doctor import examine

    findings = []
    for finding in examine(Path.cwd(), [_loaded(path) for path in configs or ()]):
        findings.append(finding)
        if not as_json:  # each is printed as soon as it is known: the last ones take seconds
            out.print(_line(finding))
    if as_json:
        show(None, [asdict(finding) for finding in findings], as_json=True)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _line(finding: Finding) -> Table | Text:
    """A finding, with its fix below it."""
    mark = Text("ok", "green") if finding.ok else Text("wrong", "red")
    if out.width < _NARROW:
        fix = f"; fix: {finding.fix}" if finding.fix else ""
        return Text.assemble(mark, f" {finding.subject}: {finding.found}{fix}")
    line = Table.grid(padding=(0, 2))
    for width in (5, 14, None):
        line.add_column(width=width, overflow="fold")
    line.add_row(mark, Text(finding.subject), Text(finding.found))
    if finding.fix:
        line.add_row("", "", Text(f"fix: {finding.fix}"))
    return line


def _loaded(path: Path) -> RunConfig:
    from pipeline.training.resolve import load_config  # imports torch, which `gradops doctor` alone does not need

    return load_config(path)
