"""Files of other formats as Parquet: `gradops import clicks.csv logs` or `gradops import s3://shop/raw logs`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.console import AsJson, err, show
from jobs.tables import Figures

if TYPE_CHECKING:
    from pipeline.ingestion.importing import Imported

_Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        help="NAME=TYPE: text, integer, number, comma (3,22), boolean, date, time; s, ms, us, ns for numbers since "
        "1970 that become times; or how times are written, as %d.%m.%Y %H:%M. May be repeated.",
        metavar="NAME=TYPE",
        show_default="found from all values",
    ),
]
_Nulls = Annotated[
    list[str] | None,
    typer.Option(
        "--null", help="A text that means a missing value.", metavar="TEXT", show_default="empty, \\\\N, null"
    ),
]
_Names = Annotated[
    str | None,
    typer.Option(help="Names of the columns, as a,b,c.", metavar="NAMES", show_default="those in the first line"),
]


class Decimal(StrEnum):
    """The sign before the fraction of a number."""

    point = "."
    comma = ","


def main(
    source: Annotated[
        str,
        typer.Argument(
            help="CSV, TSV, JSON lines, Arrow or Parquet: a file, folder or glob, here or at s3://, gs:// or az://; "
            "or a Delta table.",
            show_default=False,
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="New folder of Parquet files.", show_default=False)],
    types: _Types = None,
    null: _Nulls = None,
    separator: Annotated[
        str | None, typer.Option(help="Text between columns.", show_default="found in the first line")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Encoding of text.")] = "utf-8",
    names: _Names = None,
    decimal: Annotated[Decimal, typer.Option(help="Sign before the fraction of a number.")] = Decimal.point,
    as_json: AsJson = False,
) -> None:
    """Write Parquet from CSV, TSV, JSON lines, Arrow or Delta, here or at a store, and print every column's type."""
    from jobs.steps import StepBars
    from pipeline.ingestion.base import Reading
    from pipeline.ingestion.importing import import_files, parse_types

    # A shell hands `\\t` on as two characters.
    separator = "\t" if separator == "\\t" else separator
    named = tuple(name.strip() for name in names.split(",")) if names else ()
    reading = Reading(tuple(null or ()), separator, encoding, named, decimal.value)
    imported = import_files(source, folder, parse_types(types or []), reading, _print_file, StepBars())
    show(_table(imported, folder), _data(imported, folder), as_json)


def _print_file(path: str) -> None:
    err.print(f"reading {path}", highlight=False, markup=False, soft_wrap=True)


def _table(imported: Imported, folder: Path) -> Figures:
    title = f"{folder}: {imported.rows:,} rows in {len(imported.files)} file(s)"
    rows = [[column.name, column.type, column.evidence] for column in imported.columns]
    notes = [f"{len(imported.left_out)} file(s) left out, as {imported.left_out[0]}"] if imported.left_out else []
    return Figures(("column", "type", "seen"), rows, title, [*notes, f"next: gradops init {folder}"], are_texts=True)


def _data(imported: Imported, folder: Path) -> dict[str, object]:
    columns = {column.name: {"type": column.type, "seen": column.evidence} for column in imported.columns}
    files = {path: str(target) for path, target in imported.files.items()}
    return {"folder": folder, "rows": imported.rows, "columns": columns, "files": files, "left_out": imported.left_out}
