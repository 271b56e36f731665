"""CSV and its like: text between separators, with a header."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
import pyarrow.csv as arrow_csv

from pipeline.files.notations import PLAIN
from pipeline.ingestion.base import Format, Reading, UnreadableError
from pipeline.ingestion.types import FOUND_TYPES, as_type

_SEPARATORS = (",", ";", "\t", "|")
# Bytes. Arrow reads up to 32 blocks ahead.
_BLOCK = 1 << 21
# What databases and data frames write for a missing value and what means nothing else. `NA` may be Namibia.
_NULLS = ("", "\\N", "null", "NULL")
_NAMES = "name the columns: `--names user,item,...`"


class Delimited(Format):
    """CSV, TSV and other text with a separator."""

    endings: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".tab", ".txt")
    found_types: ClassVar[tuple[str, ...]] = FOUND_TYPES

    def schema(self, path: Path, reading: Reading) -> pl.Schema:
        """The names of the columns, without blanks around them; all columns are text."""
        names = self._names(path, reading)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            fix = f"rename all but one in its first line, or, if that has values, {_NAMES}"
            raise UnreadableError(f"{path} has several columns `{twice[0]}`; {fix}")
        if "" in names:
            raise UnreadableError(f"{path} has a column without a name; its first line has to name every column")
        if not reading.names and (values := _values(names)):
            found = f"has values in its first line, as `{values[0]}`, where the names of the columns should be"
            raise UnreadableError(f"{path} {found}; {_NAMES}")
        return pl.Schema(dict.fromkeys(names, pl.String()))

    def pieces(self, path: Path, schema: pl.Schema, reading: Reading) -> Iterator[pl.DataFrame]:
        """The rows as text; null where a value is empty and not in quotes, or means a missing one."""
        names = self._names(path, reading)
        convert = arrow_csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[*_NULLS, *reading.nulls],
        )
        try:
            with self._open(path, reading, convert, names) as batches:
                for batch in batches:
                    piece = pl.DataFrame(batch)
                    yield piece.with_columns(pl.lit(None, pl.String).alias(c) for c in schema if c not in names)
        except (pa.ArrowException, UnicodeDecodeError, OSError, EOFError) as error:
            raise _unreadable(path, error) from None

    def _names(self, path: Path, reading: Reading) -> list[str]:
        """The names of the columns; what pandas writes without one, its index in the first column, is `unnamed`."""
        if reading.names:
            return list(reading.names)
        try:
            with self._open(path, reading, arrow_csv.ConvertOptions()) as batches:
                first, *others = (name.strip() for name in batches.schema.names)
        except (pa.ArrowException, UnicodeDecodeError, OSError, EOFError) as error:
            raise _unreadable(path, error) from None
        return [first or ("unnamed" if all(others) and others else ""), *others]

    def _open(self, path: Path, reading: Reading, convert: Any, names: Sequence[str] = ()) -> Any:
        """The batches of a file.

        Args:
            path: The file.
            reading: How text is read.
            convert: The types of the columns.
            names: Their names, which take the place of those in the first line.
        """
        header = 0 if reading.names else 1
        options = {"column_names": list(names), "skip_rows_after_names": header} if names else {}
        return arrow_csv.open_csv(
            pa.input_stream(str(path), compression="detect"),
            read_options=arrow_csv.ReadOptions(
                block_size=_BLOCK, encoding=reading.encoding, use_threads=False, **options
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=reading.separator or found_separator(path, reading), newlines_in_values=True
            ),
            convert_options=convert,
        )


def _values(names: Sequence[str]) -> list[str]:
    """The names that are numbers or times, if most are; numbers that count, as pandas names columns, are names."""
    texts = pl.Series(names)
    is_value = texts.str.contains(PLAIN.pattern) | (as_type(texts, "time").is_not_null())
    values = texts.filter(is_value).to_list()
    numbers = [int(text) for text in values if text.isdecimal()]
    counts = len(numbers) == len(values) and all(b - a == 1 for a, b in pairwise(numbers))
    return [] if counts or 2 * len(values) <= len(names) else values


def found_separator(path: Path, reading: Reading) -> str:
    """The separator that is most frequent in the first line; of a tie, and of none, the first of the usual ones."""
    with pa.input_stream(str(path), compression="detect") as stream:
        line = stream.read(1 << 16).split(b"\n")[0].decode(reading.encoding, errors="replace")
    return max(_SEPARATORS, key=line.count)


def _unreadable(path: Path, error: BaseException) -> UnreadableError:
    with path.open("rb") as file:
        is_utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    text = str(error).partition("\n")[0]
    if is_utf16:
        text = "it is UTF-16: `--encoding utf-16`"
    elif "UTF8" in text or "utf-8" in text.lower() or isinstance(error, UnicodeDecodeError):
        rule = "as `--encoding cp1252` (Western Europe), `cp1251` (Cyrillic), `gbk` or `shift-jis`"
        text += f"; it is not UTF-8: name its encoding, {rule}"
    elif "Expected" in text and "columns" in text:
        text += "; put texts with the separator in quotes, or name another one with `--separator`"
    return UnreadableError(f"{path} cannot be read: {text}")
