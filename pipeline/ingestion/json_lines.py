"""JSON lines: one object a line."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import polars as pl
import pyarrow as pa

from pipeline.files.widening import united
from pipeline.ingestion.base import Format, Reading, UnreadableError

_BLOCK = 1 << 23  # bytes


class JsonLines(Format):
    """JSON lines. Values have types; those of a key are united over all lines."""

    endings: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson", ".json")
    # A number in quotes is a text on purpose; a time can be written in no other way.
    found_types: ClassVar[tuple[str, ...]] = ("date", "time")

    def schema(self, path: Path, reading: Reading) -> pl.Schema:
        """The keys of all lines, each in a type that takes all its values."""
        del reading
        found: dict[str, pl.DataType] = {}
        for lines, first in _blocks(path):
            for name, kind in _read(path, lines, first, None).schema.items():
                both = kind if name not in found else united(found[name], kind)
                if both is None:
                    raise UnreadableError(f"{path}: `{name}` is {found[name]} in some lines and {kind} in others")
                found[name] = both
        return pl.Schema(found)

    def pieces(self, path: Path, schema: pl.Schema, reading: Reading) -> Iterator[pl.DataFrame]:
        """The rows; null where a line has no such key."""
        for lines, first in _blocks(path):
            yield reading.without_marks(_read(path, lines, first, schema))


def _read(path: Path, lines: bytes, first: int, schema: pl.Schema | None) -> pl.DataFrame:
    try:
        return pl.read_ndjson(io.BytesIO(lines), schema=schema, infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise UnreadableError(_wrong_line(path, lines, first) or f"{path} cannot be read: {error}") from None


def _wrong_line(path: Path, lines: bytes, first: int) -> str | None:
    """The problem of the first line that is no JSON object."""
    for number, line in enumerate(lines.splitlines(), start=first):
        try:
            is_object = not line.strip() or isinstance(json.loads(line), dict)
        except ValueError as error:
            return f"{path}, line {number}: no JSON ({error}); each line is one object"
        if not is_object:
            return f'{path}, line {number}: no object in braces, such as {{"user_id": 7}}; each line is one object'
    return None


def _blocks(path: Path) -> Iterator[tuple[bytes, int]]:
    """Whole lines, some megabytes at a time, with the number of the first."""
    rest, number = b"", 1
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            while block := stream.read(_BLOCK):
                whole, newline, behind = block.rpartition(b"\n")
                if newline:
                    lines = rest + whole
                    yield lines, number
                    number, rest = number + lines.count(b"\n") + 1, behind
                else:
                    rest += behind
    except (pa.ArrowException, OSError, EOFError) as error:
        raise UnreadableError(f"{path} cannot be read: {error}") from None
    if rest.strip():
        yield rest, number
