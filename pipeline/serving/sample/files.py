"""The files of a sample, read again: those of one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ValidationError

from features.errors import InputError
from pipeline.files import parquet
from pipeline.serving.sample.folder import ABOUT, sample_files
from pipeline.serving.sample.rows import REQUEST, Places

_SHOWN = 5


class About(BaseModel):
    """What a file says of its rows; see :mod:`pipeline.serving.sample.buffer`."""

    version: Literal[1]
    model: str
    outputs: tuple[str, ...]
    share: float
    # Of the first and of the last row.
    begin: datetime
    end: datetime
    # Rows that were drawn before this file was written, and are in no file.
    dropped: int


@dataclass(frozen=True)
class Sample:
    """The rows of a sample that one model has scored.

    Args:
        files: The files with what they say, the oldest first; at least one.
        of_others: The number of files with rows of other models, which are left out.
        unreadable: Why files cannot be read; they are left out, too.
    """

    files: Sequence[tuple[Path, About]]
    of_others: int
    unreadable: Sequence[str]

    @classmethod
    def of(cls, folder: Path, model: str, since: datetime | None = None) -> Sample:
        """The rows of a model in a folder.

        Args:
            folder: The folder.
            model: The digest of the model's files.
            since: Files whose last row is older are left out; with a time zone.

        Raises:
            InputError: If there are none.
        """
        found, unreadable = [], []
        for path in sample_files(folder):
            try:
                found.append((path, About.model_validate_json(pl.read_parquet_metadata(path).get(ABOUT, ""))))
            except FileNotFoundError:
                pass  # a server has removed it in this moment
            except (*parquet.READ_ERRORS, ValidationError) as error:
                unreadable.append(f"{path} is no file of a sample ({str(error).partition(chr(10))[0]})")
        new = [(path, about) for path, about in found if since is None or about.end >= since]
        own = [(path, about) for path, about in new if about.model == model]
        if not own:
            raise InputError(_nothing(folder, len(found), len(new), unreadable))
        return cls(own, len(new) - len(own), unreadable)

    @cached_property
    def request_N(self) -> Places:
        """The request of each row: numbers from 0 on."""
        found, first = [], 0
        for path, _ in self.files:
            numbers = parquet.scan(path).select(REQUEST).collect().to_series().to_numpy()
            found.append(numbers + first)
            first += int(numbers.max()) + 1
        return np.unique(np.concatenate(found), return_inverse=True)[1].astype(np.int64)

    def rows(self) -> pl.LazyFrame:
        """All rows, as :func:`pipeline.serving.sample.rows.frame_of` has their columns."""
        return parquet.scan_all([path for path, _ in self.files])

    @property
    def dropped(self) -> int:
        """The number of rows that were drawn, but are in no file."""
        return sum(about.dropped for _, about in self.files)

    @property
    def shares(self) -> list[float]:
        """The shares of rows that were sampled, ascending; rows of files with a larger one stand for fewer rows."""
        return sorted({about.share for _, about in self.files})

    @property
    def period(self) -> tuple[datetime, datetime]:
        """The time of the first and of the last row."""
        return min(about.begin for _, about in self.files), max(about.end for _, about in self.files)


def _nothing(folder: Path, found: int, new: int, unreadable: Sequence[str]) -> str:
    """Why there is nothing to compare, with the fix."""
    if found and not new:
        return f"{folder} has no rows of so late a time: the {found} file(s) in it end before; give an earlier --since"
    if new:
        fix = "give the model that was served, or wait for rows of this one"
        return f"{folder} has rows of other models only ({new} file(s), told by the digest of the models' files); {fix}"
    fix = "`gradops serve --sample FOLDER` and `gradops score --sample FOLDER` write them"
    why = "".join(f"\n  - {one}" for one in unreadable[:_SHOWN])
    return f"{folder} holds no sample of scored rows; {fix}{why}"
