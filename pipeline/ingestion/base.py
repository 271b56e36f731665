"""The interface of a format: a file's columns, and its rows in pieces that fit into memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import polars as pl

from features.errors import InputError
from pipeline.ingestion.types import ColumnType


@dataclass(frozen=True)
class Reading:
    """How text is read.

    Args:
        nulls: Texts that mean a missing value, beside the empty one.
        separator: The text between columns; None to be found in the header.
        encoding: The encoding of text.
    """

    nulls: Sequence[str] = field(default_factory=tuple)
    separator: str | None = None
    encoding: str = "utf-8"


class UnreadableError(InputError):
    """A file cannot be read; the importer goes on with the others and names all."""


class Format(ABC):
    """A format of files; one file of this folder and one line in :mod:`pipeline.ingestion.formats`."""

    endings: ClassVar[tuple[str, ...]]
    """The endings of its files in small letters, those of compression left out."""

    found_types: ClassVar[tuple[ColumnType, ...]] = ()
    """The types that its columns of text may turn out to be; none where text is meant as text."""

    @abstractmethod
    def schema(self, path: Path, reading: Reading) -> pl.Schema:
        """The columns of a file and their types; of a format without types, text.

        Raises:
            UnreadableError: If it cannot be read.
        """

    @abstractmethod
    def pieces(self, path: Path, schema: pl.Schema, reading: Reading) -> Iterator[pl.DataFrame]:
        """The rows of a file in their order, a few megabytes at a time, in a schema that the file's own fits.

        Raises:
            UnreadableError: If they cannot be read.
        """
