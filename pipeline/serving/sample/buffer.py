"""Sampled rows in memory, until there are enough of them for a file."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from pipeline.serving.sample.folder import SampleFolder
from pipeline.serving.sample.rows import SampledRows, frame_of

if TYPE_CHECKING:
    from pipeline.serving.scorer import Scorer

_log = logging.getLogger(__name__)
_VERSION = 1
# Polars gives up on some errors by a panic, which is no Exception.
FAILED = (Exception, pl.exceptions.PanicException)


class SampleBuffer:
    """Collects rows of one model at a time, and writes them. All methods are called in one thread.

    A sample is no reason to fail: rows that cannot be written are dropped and counted. The first failure is logged,
    and the first success after it.

    Args:
        folder: Where files go.
        share: The share of all rows that is sampled.
    """

    def __init__(self, folder: SampleFolder, share: float) -> None:
        self._folder, self._share = folder, share
        self._scorer: Scorer | None = None
        self._rows: list[SampledRows] = []
        self._begin = datetime.now(UTC)
        self._is_failing = False
        self.rows, self.dropped = 0, 0
        self.all_written, self.all_dropped = 0, 0

    def add(self, scorer: Scorer, rows: SampledRows) -> None:
        """Add rows of a model; those of another model before are written first."""
        if self._scorer is not None and self._scorer.digest != scorer.digest:
            self.flush()
        if not self._rows:
            self._scorer, self._begin = scorer, datetime.now(UTC)
        self._rows.append(rows)
        self.rows += len(rows)

    def drop(self, rows: int) -> None:
        """Count rows that were drawn, but are in no file."""
        self.dropped += rows
        self.all_dropped += rows

    def fail(self, rows: int, error: BaseException) -> None:
        """Count rows that an error has lost, and log it unless the one before was logged and nothing written since."""
        self.drop(rows)
        if not self._is_failing:
            place = self._folder.folder
            _log.warning("the sample of rows cannot be written to %s (%s); rows are scored on", place, error)
        self._is_failing = True

    def flush(self) -> None:
        """Write what is there."""
        if self._scorer is None or not self._rows:
            return
        about = {
            "version": _VERSION,
            "model": self._scorer.digest,
            "outputs": list(self._scorer.outputs),
            "share": self._share,
            "begin": self._begin.isoformat(timespec="seconds"),
            "end": datetime.now(UTC).isoformat(timespec="seconds"),
            "dropped": self.dropped,
        }
        try:
            self._folder.write(frame_of(self._rows, self._scorer.encoder.spec, self._scorer.outputs), about)
        except FAILED as error:
            self.fail(self.rows, error)
        else:
            self.dropped = 0
            self.all_written += self.rows
            if self._is_failing:
                _log.warning("the sample of rows is written to %s again", self._folder.folder)
            self._is_failing = False
        self._rows, self.rows, self._scorer = [], 0, None  # a model of before the alias moved would stay in memory
