"""Parquet files, whose columns of text may be given other types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import polars as pl

from pipeline.files import parquet
from pipeline.files.walk import ENDINGS
from pipeline.ingestion.base import Format, Reading, UnreadableError

_ROWS = 200_000


class ParquetFile(Format):
    """Parquet."""

    endings: ClassVar[tuple[str, ...]] = ENDINGS

    def schema(self, path: Path, reading: Reading) -> pl.Schema:
        """The file's own columns and types."""
        del reading
        try:
            return parquet.read_schema(path)
        except parquet.DamagedError as error:
            raise UnreadableError(str(error)) from None

    def pieces(self, path: Path, schema: pl.Schema, reading: Reading) -> Iterator[pl.DataFrame]:
        """The rows, some at a time."""
        for start in range(0, parquet.count_rows(path), _ROWS):
            try:
                yield reading.without_marks(parquet.collect(path, parquet.scan_as(path, schema, start, _ROWS)))
            except parquet.DamagedError as error:
                raise UnreadableError(str(error)) from None
