"""The interface of a format: a file's columns, and its rows in pieces that fit into memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import polars as pl

from features.errors import InputError


@dataclass(frozen=True)
class Reading:
    """How text is read.

    Args:
        nulls: Texts that mean a missing value, beside the empty one.
        separator: The text between columns; None to be found in the header.
        encoding: The encoding of text.
        names: The names of the columns, where the first line has none.
        decimal: The sign before the fraction of a number, a point or a comma.
    """

    nulls: Sequence[str] = field(default_factory=tuple)
    separator: str | None = None
    encoding: str = "utf-8"
    names: Sequence[str] = field(default_factory=tuple)
    decimal: Literal[".", ","] = "."

    def without_marks(self, piece: pl.DataFrame) -> pl.DataFrame:
        """Rows with null where a text means a missing value."""
        texts = [name for name, kind in piece.schema.items() if kind == pl.String and self.nulls]
        return piece.with_columns(pl.when(~pl.col(c).is_in(list(self.nulls))).then(pl.col(c)) for c in texts)


class UnreadableError(InputError):
    """A file cannot be read; the importer goes on with the others and names all."""


class Format(ABC):
    """A format of files; one file of this folder and one line in :mod:`pipeline.ingestion.formats`."""

    endings: ClassVar[tuple[str, ...]]
    """The endings of its files in small letters, those of compression left out."""

    found_types: ClassVar[tuple[str, ...]] = ()
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
