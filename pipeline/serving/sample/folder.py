"""The folder of a sample: whole files, and a bound on their bytes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from uuid import uuid4

import polars as pl

from features.errors import InputError
from pipeline.files.atomic import atomic

ABOUT = "gradops.sample"
_NAME = re.compile(r"rows-\d{8}T\d{6}-[0-9a-f]{8}-\d{6,}\.parquet")
_DRAFTS = ".rows-*.parquet.*.draft"
_LEFT_SECONDS = 3600  # a draft is renamed within seconds: an older one is that of a killed process


class SampleFolder:
    """Files named by time and process, so that several processes, machines and restarts may share the folder.

    Args:
        folder: The folder.
        most_bytes: Largest number of bytes of all files in it: beyond it the oldest are removed, never the last one.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder, self._most = folder, most_bytes
        # Two containers may have the same process id.
        self._process, self._written = uuid4().hex[:8], 0

    @classmethod
    def made(cls, folder: Path, most_bytes: int) -> SampleFolder:
        """The folder, made now: whether it can be is said before any row is scored.

        Raises:
            InputError: If it cannot be made, or no file in it.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=folder, prefix="."):
                pass
        except OSError as error:
            raise InputError(f"no sample of rows can be written to {folder} ({error.strerror})") from error
        return cls(folder, most_bytes)

    def write(self, rows: pl.DataFrame, about: Mapping[str, Any]) -> None:
        """Write a file, then remove the oldest ones beyond the bound.

        Args:
            rows: Its rows.
            about: What is said of them, as JSON in the file's metadata.

        Raises:
            OSError: If it cannot be written; no part of it is left.
        """
        self._written += 1
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        path = self.folder / f"rows-{moment}-{self._process}-{self._written:06}.parquet"
        with atomic(path) as draft:
            rows.write_parquet(draft, metadata={ABOUT: json.dumps(about)})
        self._bound(path)

    def _bound(self, last: Path) -> None:
        """Remove what is beyond the bound. Other processes may do the same at the same time."""
        total = _size(last)
        for path in reversed(sample_files(self.folder)):
            if path == last:
                continue
            total += _size(path)
            if total > self._most:
                path.unlink(missing_ok=True)
        for draft in self.folder.glob(_DRAFTS):
            if time.time() - _changed(draft) > _LEFT_SECONDS:
                draft.unlink(missing_ok=True)


def sample_files(folder: Path) -> list[Path]:
    """The files of samples in a folder, the oldest first; a user's own files have other names."""
    return sorted(path for path in folder.glob("rows-*.parquet") if _NAME.fullmatch(path.name))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()
