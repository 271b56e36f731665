"""CSV and its like: text between separators, with a header."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
import pyarrow.csv as arrow_csv

from pipeline.ingestion.base import Format, Reading, UnreadableError
from pipeline.ingestion.types import FOUND_TYPES, ColumnType

_SEPARATORS = (",", ";", "\t", "|")
# Bytes. Arrow reads up to 32 blocks ahead.
_BLOCK = 1 << 21
# What databases and data frames write for a missing value and what means nothing else. `NA` may be Namibia.
_NULLS = ("", "\\N", "null", "NULL")


class Delimited(Format):
    """CSV, TSV and other text with a separator."""

    endings: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".tab", ".txt")
    found_types: ClassVar[tuple[ColumnType, ...]] = FOUND_TYPES

    def schema(self, path: Path, reading: Reading) -> pl.Schema:
        """The names in the header; all columns are text."""
        names = self._names(path, reading)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UnreadableError(f"{path} has several columns `{twice[0]}`; rename all but one in its first line")
        if any(not name.strip() for name in names):
            raise UnreadableError(f"{path} has a column without a name; its first line has to name every column")
        return pl.Schema(dict.fromkeys(names, pl.String()))

    def pieces(self, path: Path, schema: pl.Schema, reading: Reading) -> Iterator[pl.DataFrame]:
        """The rows as text; null where a value is empty and not in quotes, or means a missing one."""
        texts = {name: pa.string() for name in self._names(path, reading)}
        convert = arrow_csv.ConvertOptions(
            column_types=texts,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[*_NULLS, *reading.nulls],
        )
        try:
            with self._open(path, reading, convert) as batches:
                for batch in batches:
                    piece = pl.DataFrame(batch)
                    yield piece.with_columns(pl.lit(None, pl.String).alias(c) for c in schema if c not in texts)
        except (pa.ArrowException, UnicodeDecodeError, OSError, EOFError) as error:
            raise UnreadableError(f"{path} cannot be read: {_told(error)}") from None

    def _names(self, path: Path, reading: Reading) -> list[str]:
        try:
            with self._open(path, reading, arrow_csv.ConvertOptions()) as batches:
                return list(batches.schema.names)
        except (pa.ArrowException, UnicodeDecodeError, OSError, EOFError) as error:
            raise UnreadableError(f"{path} cannot be read: {_told(error)}") from None

    def _open(self, path: Path, reading: Reading, convert: Any) -> Any:
        return arrow_csv.open_csv(
            pa.input_stream(str(path), compression="detect"),
            read_options=arrow_csv.ReadOptions(block_size=_BLOCK, encoding=reading.encoding, use_threads=False),
            parse_options=arrow_csv.ParseOptions(
                delimiter=reading.separator or found_separator(path, reading), newlines_in_values=True
            ),
            convert_options=convert,
        )


def found_separator(path: Path, reading: Reading) -> str:
    """The separator that is most frequent in the first line; of a tie, and of none, the first of the usual ones."""
    with pa.input_stream(str(path), compression="detect") as stream:
        line = stream.read(1 << 16).split(b"\n")[0].decode(reading.encoding, errors="replace")
    return max(_SEPARATORS, key=line.count)


def _told(error: BaseException) -> str:
    text = str(error).partition("\n")[0]
    if "UTF8" in text or "utf-8" in text.lower() or isinstance(error, UnicodeDecodeError):
        return f"{text}; it is not UTF-8: name its encoding, as `--encoding latin-1` or `--encoding utf-16`"
    if "Expected" in text and "columns" in text:
        return f"{text}; put texts with the separator in quotes, or name another one with `--separator`"
    return text
