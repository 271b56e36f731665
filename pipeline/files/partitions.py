"""Hive partitions: the ``key=value`` folders of a path, and their values as columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import unquote

import polars as pl

from features.errors import InputError

PartitionType = Literal["text", "integer", "number", "boolean", "date"]
PARTITION_TYPES: tuple[PartitionType, ...] = get_args(PartitionType)
Partitions = Mapping[str, PartitionType]

_NULL = "__HIVE_DEFAULT_PARTITION__"
_KINDS: dict[PartitionType, pl.DataType] = {
    "text": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
}
_PARSERS: dict[PartitionType, Callable[[str], object]] = {
    "text": str,
    "integer": int,
    "number": float,
    "boolean": lambda text: {"true": True, "false": False}[text.lower()],
    "date": date.fromisoformat,
}


def parts_of(path: Path) -> dict[str, str | None]:
    """The keys of a path's folders and their values, decoded; None for Hive's mark of a null.

    Of a key that comes twice, the deepest folder counts.
    """
    pairs = (folder.partition("=") for folder in path.parts[:-1] if "=" in folder)
    return {unquote(key): None if value == _NULL else unquote(value) for key, _, value in pairs}


def kind_of(declared: PartitionType) -> pl.DataType:
    """The type of a partition's column."""
    return _KINDS[declared]


def type_like(dtype: str) -> PartitionType:
    """The declared type that gives a column like one of training files, by the name of its type."""
    prefixes: dict[str, PartitionType] = {"Int": "integer", "UInt": "integer", "Float": "number", "Bool": "boolean"}
    found = next((kind for prefix, kind in prefixes.items() if dtype.startswith(prefix)), None)
    return "date" if dtype == "Date" else found or "text"


def value_of(path: Path, key: str, declared: PartitionType) -> object:
    """The value of a path's partition; None for a null.

    Raises:
        KeyError: If the path has no such key.
        ValueError: If the value is not of the type.
    """
    text = parts_of(path)[key]
    try:
        return None if text is None else _PARSERS[declared](text)
    except (KeyError, ValueError):
        raise ValueError(f"`{key}={text}` of a path is no {declared}") from None


def partition_as(path: Path, key: str, kind: pl.DataType) -> object:
    """The value of a path's partition in a column's type; None if the path has no such key.

    Raises:
        InputError: If the value is not of the type.
    """
    try:
        return value_of(path, key, type_like(str(kind))) if key in parts_of(path) else None
    except ValueError as error:
        raise InputError(f"{path}: {error}; mend the path") from None


def values_of(path: Path, partitions: Partitions) -> list[str | None]:
    """The texts of the declared partitions of a path, by which files of one content may differ."""
    parts = parts_of(path)
    return [parts.get(key) for key in partitions]


def partition_problems(partitions: Partitions, files: Mapping[Path, pl.Schema]) -> tuple[list[str], set[Path]]:
    """The problems of declared partitions: a key is missing, also a column, or of another type; and their files.

    Args:
        partitions: The declared keys and types.
        files: Schema of each file.
    """
    told: dict[tuple[str, str], tuple[str, list[Path]]] = {}
    for path, schema in files.items():
        for key, declared in partitions.items():
            if (found := _problem(path, schema, key, declared)) is not None:
                rule, words = found
                told.setdefault((key, rule), (words, []))[1].append(path)
    texts = [f"{words}; {rule} ({len(paths)} file(s), first {paths[0]})" for (_, rule), (words, paths) in told.items()]
    return texts, {path for _, paths in told.values() for path in paths}


def with_partitions(schema: pl.Schema, partitions: Partitions) -> pl.Schema:
    """A file's schema with the columns that its path gives."""
    return pl.Schema({**schema, **{key: kind_of(declared) for key, declared in partitions.items()}})


def parse_partitions(texts: Sequence[str]) -> dict[str, PartitionType]:
    """Partitions as a command has them, each ``NAME=TYPE``.

    Raises:
        InputError: If one is of another form.
    """
    found: dict[str, PartitionType] = {}
    for text in texts:
        key, _, written = text.partition("=")
        declared = next((kind for kind in PARTITION_TYPES if kind == written.strip()), None)
        if not key.strip() or declared is None:
            raise InputError(f"a partition is NAME=TYPE, its type {', '.join(PARTITION_TYPES)}; found `{text}`")
        found[key.strip()] = declared
    return found


def _problem(path: Path, schema: pl.Schema, key: str, declared: PartitionType) -> tuple[str, str] | None:
    """The rule that a declared partition of a file breaks, and what was found."""
    if key in schema:
        return "leave one of the two out", f"`{key}` is declared as a partition, and is a column of files"
    try:
        value_of(path, key, declared)
    except KeyError:
        return "move files below such folders", f"`{key}` is declared as a partition, and a path has no `{key}=...`"
    except ValueError as error:
        return "mend the path, or declare another type", str(error)
    return None
