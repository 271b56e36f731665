"""What is wrong with this installation, and the fix: `gradops doctor`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer
from rich.table import Table

from jobs.console import AsJson, show


def main(as_json: AsJson = False) -> None:
    """Check the torch/torchrec/fbgemm trio, the device, the tracking store and the disk; exit 1 if one is wrong."""
    from pipeline.doctor import examine

    findings = list(examine(Path.cwd()))
    table = Table("", "found", "fix", show_edge=False)
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else "[red]wrong[/]"
        table.add_row(f"{mark} {finding.subject}", finding.found, finding.fix)
    show(table, [asdict(finding) for finding in findings], as_json)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
