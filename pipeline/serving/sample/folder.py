"""The folder of a sample: whole files, and a bound on their bytes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl

from features.errors import InputError
from pipeline.files.atomic import atomic

FILES, ABOUT = "rows-*.parquet", "gradops.sample"
_DRAFTS = f".{FILES}.*.draft"
_LEFT_SECONDS = 3600  # a draft is renamed within seconds: an older one is that of a killed process


class SampleFolder:
    """Files named by time and process, so that several processes, machines and restarts may share the folder.

    Args:
        folder: The folder.
        most_bytes: Largest number of bytes of all files in it: beyond it the oldest are removed.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder, self._most = folder, most_bytes
        # Two containers may have the same process id.
        self._process, self._written = uuid4().hex[:8], 0

    @classmethod
    def made(cls, folder: Path, most_bytes: int) -> SampleFolder:
        """The folder, made now: whether it can be is said before any row is scored.

        Raises:
            InputError: If it cannot be made.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"no folder for the sample of rows can be made at {folder} ({error.strerror})") from error
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
        with atomic(self.folder / f"rows-{moment}-{self._process}-{self._written:06}.parquet") as draft:
            rows.write_parquet(draft, metadata={ABOUT: json.dumps(about)})
        self._bound()

    def _bound(self) -> None:
        """Remove what is beyond the bound. Other processes may do the same at the same time."""
        sizes = {path: _size(path) for path in sorted(self.folder.glob(FILES), reverse=True)}
        total = 0
        for path, size in sizes.items():
            total += size
            if total > self._most:
                path.unlink(missing_ok=True)
        for draft in self.folder.glob(_DRAFTS):
            if time.time() - _changed(draft) > _LEFT_SECONDS:
                draft.unlink(missing_ok=True)


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
