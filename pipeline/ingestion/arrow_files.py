"""Arrow's files, the format of Feather and of Arrow's streams, which have types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
from pyarrow import ipc

from pipeline.ingestion.base import Format, Reading, UnreadableError


class ArrowFile(Format):
    """Arrow IPC, as a file or as a stream."""

    endings: ClassVar[tuple[str, ...]] = (".arrow", ".ipc", ".feather", ".arrows")

    def schema(self, path: Path, reading: Reading) -> pl.Schema:
        """The file's own columns and types; dictionaries are text."""
        del reading
        own = next(self._batches(path)).schema
        return pl.Schema({n: pl.String() if k in (pl.Categorical, pl.Enum) else k for n, k in own.items()})

    def pieces(self, path: Path, schema: pl.Schema, reading: Reading) -> Iterator[pl.DataFrame]:
        """The rows, a batch of the file at a time."""
        for piece in self._batches(path):
            if piece.height:
                lacking = [pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in piece.columns]
                whole = piece.with_columns(lacking).select(pl.col(name).cast(kind) for name, kind in schema.items())
                yield reading.without_marks(whole)

    def _batches(self, path: Path) -> Iterator[pl.DataFrame]:
        """An empty frame with the columns, then the batches."""
        try:
            with pa.memory_map(str(path)) as source:
                reader: Any = _reader(source)
                yield pl.DataFrame(reader.schema.empty_table())
                batches = (
                    (reader.get_batch(n) for n in range(reader.num_record_batches))
                    if hasattr(reader, "get_batch")
                    else reader
                )
                for batch in batches:
                    yield pl.DataFrame(batch)
        except (pa.ArrowException, OSError) as error:
            raise UnreadableError(f"{path} is not a readable Arrow file ({error}); remove or replace it") from None


def _reader(source: Any) -> Any:
    try:
        return ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        return ipc.open_stream(source)
