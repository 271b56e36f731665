"""Delta tables: the files, rows and columns that a table's log says are present.

The log is read by deltalake, the rows by our own reader of Parquet, so that memory does not grow with the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

import polars as pl

from features.errors import InputError
from pipeline.ingestion.base import Format, Reading
from pipeline.ingestion.parquet_files import ParquetFile

if TYPE_CHECKING:
    from deltalake import DeltaTable

LOG = "_delta_log"
# What a table may ask of its readers and what is done here, or by deltalake as it reads the log.
_FEATURES = frozenset({"deletionVectors", "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"})


class PresentFile(ParquetFile):
    """A file of a Delta table.

    Args:
        table: The columns of the table and their types; those that the file lacks came later and are null.
        partitions: Partition column to its value in this file, which the file itself does not hold.
        kept: Whether each of the file's first rows is present, beyond which all are; None if all are.
    """

    def __init__(self, table: pl.Schema, partitions: Mapping[str, object], kept: pl.Series | None) -> None:
        self._table, self._partitions, self._kept = table, partitions, kept

    def schema(self, path: Path, reading: Reading) -> pl.Schema:
        """The columns and types of the table."""
        super().schema(path, reading)
        return self._table

    def pieces(self, path: Path, schema: pl.Schema, reading: Reading) -> Iterator[pl.DataFrame]:
        """The present rows, some at a time, partition columns included."""
        held = super().schema(path, reading)
        own = pl.Schema({name: kind for name, kind in schema.items() if name in held and name not in self._partitions})
        # A column that came later is null here, whatever a folder above the table is called.
        values = [pl.lit(self._partitions.get(name), schema[name]).alias(name) for name in schema if name not in own]
        start = 0
        for piece in super().pieces(path, own, reading):
            yield piece.filter(self._present(start, piece.height)).with_columns(values).select(list(schema))
            start += piece.height

    def _present(self, start: int, rows: int) -> pl.Series:
        """Whether each row of a piece is present."""
        known = pl.Series([], dtype=pl.Boolean) if self._kept is None else self._kept.slice(start, rows)
        return known.extend_constant(value=True, n=rows - len(known))


def is_delta(path: Path) -> bool:
    """Whether a path is the folder of a Delta table."""
    return (path / LOG).is_dir()


def present_files(folder: Path) -> dict[Path, Format]:
    """The files that hold the present rows of a Delta table, in order, each with its reader.

    Raises:
        InputError: If the library is not installed, or the table cannot be read, has no row, or asks of its readers
            what is not done here.
    """
    table = _opened(folder)
    _refuse_features(folder, table)
    schema = pl.Schema(table.schema())
    kept = _kept_rows(table)
    columns = table.metadata().partition_columns
    found: dict[Path, Format] = {}
    used = set[Path]()
    for add in pl.DataFrame(table.get_add_actions(flatten=True)).sort("path").iter_rows(named=True):
        path = folder / unquote(add["path"])
        if urlparse(add["path"]).scheme or ".." in path.parts:
            raise InputError(f"{folder} has rows in another folder, as {add['path']}: it is a clone; {_copy(folder)}")
        values = {name: add[f"partition.{name}"] for name in columns}
        place = folder.resolve() / unquote(add["path"])
        found[path] = PresentFile(schema, values, kept.get(place))
        used.add(place)
    if apart := kept.keys() - used:
        raise InputError(f"{folder} has removed rows of {min(apart)}, which is no file of it; {_copy(folder)}")
    if not found:
        raise InputError(f"{folder} is a Delta table without a row, so there is nothing to import")
    return found


def _opened(folder: Path) -> DeltaTable:
    if find_spec("deltalake") is None:
        raise InputError(
            f"{folder} is a Delta table, and its log is read by deltalake, which is not installed: "
            "pip install 'gradops[delta]'"
        )
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    place = str(folder.resolve())
    if unquote(place) != place:
        raise InputError(f"deltalake would read {unquote(place)} in place of {place}; rename the folder")
    try:
        return DeltaTable(place)
    except (DeltaError, OSError, ValueError) as error:
        told = str(error).partition("\n")[0]
        raise InputError(
            f"{folder} cannot be read as a Delta table ({told}); restore its log, or {_copy(folder)}"
        ) from None


def _refuse_features(folder: Path, table: DeltaTable) -> None:
    """Raise an error if columns have other names in files, or readers are asked for what is not done here."""
    asked = {*(table.protocol().reader_features or ())} - _FEATURES
    if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        asked.add("columnMapping")
    if asked:
        raise InputError(
            f"{folder} is a Delta table with {', '.join(sorted(asked))}, which cannot be read here; {_copy(folder)}"
        )


def _copy(folder: Path) -> str:
    query = f'spark.read.format("delta").load("{folder}").write.parquet("rows")'
    return f"write its rows by Spark, `{query}`, and import those"


def _kept_rows(table: DeltaTable) -> dict[Path, pl.Series]:
    """The files of which rows are removed by a deletion vector, each with whether a row is present."""
    vectors = pl.DataFrame(table.deletion_vectors()).iter_rows()
    return {Path(unquote(urlparse(uri).path)): pl.Series(kept, dtype=pl.Boolean) for uri, kept in vectors}
