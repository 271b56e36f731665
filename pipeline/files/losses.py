"""Values that a column's common type cannot hold: rows of files whose types differ, counted by value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipeline.files import parquet
from pipeline.files.widening import lost


@dataclass(frozen=True)
class Loss:
    """The values of a file's column that would be other ones in the common type.

    Args:
        path: The file.
        column: The column.
        own: Its type in the file.
        common: The common type.
        rows: The number of rows with such a value.
    """

    path: Path
    column: str
    own: str
    common: str
    rows: int


def find_losses(own: Mapping[Path, pl.Schema], read_as: Mapping[Path, pl.Schema]) -> Iterator[Loss]:
    """Look at the columns whose types alone do not tell that every value stays itself.

    A file that is damaged there is passed over: it cannot be read for anything else either.

    Args:
        own: Schema of each file.
        read_as: The columns of each file, in the types that they are read as.
    """
    for path, schema in read_as.items():
        held = own[path]
        pairs = {c: lost(c, held[c], kind) for c, kind in schema.items() if c in held and held[c] != kind}
        counts = {c: broken.sum().alias(c) for c, broken in pairs.items() if broken is not None}
        try:
            found = parquet.collect(path, parquet.scan(path).select(counts.values())) if counts else pl.DataFrame()
        except parquet.DamagedError:
            continue
        for column in found.columns:
            if rows := int(found.get_column(column).item()):
                yield Loss(path, column, str(held[column]), str(schema[column]), rows)


def loss_problems(losses: Iterable[Loss]) -> Iterator[str]:
    """One problem a column and type."""
    grouped: dict[tuple[str, str, str], list[Loss]] = {}
    for loss in losses:
        grouped.setdefault((loss.column, loss.own, loss.common), []).append(loss)
    for (column, own, common), found in grouped.items():
        rows = sum(loss.rows for loss in found)
        where = f"{rows} row(s) of {len(found)} file(s), first in {found[0].path}"
        rule = f"files have it in several types, which {common} unites only where it keeps every value"
        yield f"column `{column}` holds {own} that {common} cannot, in {where}; {rule}; write it in one type"
