"""The command `gradops disk runs`, which prints the disk space of every run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.console import AsJson, show


def main(
    runs: Annotated[Path, typer.Argument(help="Folder of runs.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Print the bytes of every run's folder, the largest first."""
    folders = [folder for folder in runs.iterdir() if folder.is_dir()]
    sizes = {folder.name: _bytes(folder) for folder in folders}
    ordered = dict(sorted(sizes.items(), key=lambda pair: -pair[1]))
    show("\n".join(f"{size:>12,} {name}" for name, size in ordered.items()), ordered, as_json)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
