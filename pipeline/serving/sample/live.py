"""The sample of a server: drawn in the request's thread, collected and written in a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from features.request.encoder import Encoded
from pipeline.data.windows import Window
from pipeline.serving.sample.buffer import FAILED, SampleBuffer
from pipeline.serving.sample.draw import Draw
from pipeline.serving.sample.folder import SampleFolder
from pipeline.serving.sample.rows import Places, SampledRows

if TYPE_CHECKING:
    from pipeline.serving.scorer import Scored, Scorer

_FILE_ROWS, _FILE_SECONDS = 10_000, 600.0
# Of requests that wait for the thread, which refers to all their rows: this bounds the memory.
_WAITING_REQUESTS, _WAITING_ROWS = 1000, 100_000
_STOP_SECONDS = 10.0

_Drawn = tuple["Scorer", Window | Encoded, npt.NDArray[np.float64], Places]


class LiveSample:
    """A sample of the rows that a server scores.

    A request's thread only draws places. If requests come faster than they are collected, rows are dropped and counted;
    no request waits or fails.

    Args:
        folder: Folder of the files, which is made.
        share: The share of rows that is sampled, in (0, 1].
        most_bytes: Largest number of bytes of the files; the oldest are removed.
        file_rows: A file is written from this number of rows on,
        file_seconds: or when its first row is this old.

    Raises:
        InputError: If the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        share: float,
        most_bytes: int,
        *,
        file_rows: int = _FILE_ROWS,
        file_seconds: float = _FILE_SECONDS,
    ) -> None:
        self._buffer = SampleBuffer(SampleFolder.made(folder, most_bytes), share)
        self._draw, self._file_rows, self._file_seconds = Draw(share), file_rows, file_seconds
        self._queue: queue.Queue[_Drawn | None] = queue.Queue(_WAITING_REQUESTS)
        self._lock, self._waiting, self._dropped = threading.Lock(), 0, 0
        self._thread: threading.Thread | None = None

    def offer(self, scorer: Scorer, scored: Scored) -> None:
        """Draw from a scored request."""
        rows = scored.counted.rows
        place_K = self._draw.places(rows)
        if not len(place_K):
            return
        with self._lock:
            if self._queued((scorer, scored.rows, scored.probability_NO, place_K)):
                self._waiting += rows
            else:
                self._dropped += len(place_K)

    def _queued(self, drawn: _Drawn) -> bool:
        """Whether the thread gets drawn rows; it is started for the first ones, in the process that has them."""
        if self._waiting and self._waiting + len(drawn[2]) > _WAITING_ROWS:
            return False
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._collect, name="sample", daemon=True)
                thread.start()
                self._thread = thread
            self._queue.put_nowait(drawn)
        except (queue.Full, RuntimeError):  # or no further thread can be started
            return False
        return True

    @property
    def waiting(self) -> int:
        """The number of rows of requests whose drawn rows are not collected yet."""
        return self._waiting

    def close(self) -> None:
        """Write what is there; the server answers no more requests."""
        if self._thread is not None:
            with suppress(queue.Full):  # the thread waits for a disk that does not answer
                self._queue.put(None, timeout=_STOP_SECONDS)
            self._thread.join(_STOP_SECONDS)

    def _collect(self) -> None:
        is_open = True
        while is_open:
            is_open = self._fill()
            with self._lock:
                self._dropped, dropped = 0, self._dropped
            self._buffer.drop(dropped)
            self._buffer.flush()

    def _fill(self) -> bool:
        """Collect the rows of a file; False if the server answers no more requests."""
        due = time.monotonic() + self._file_seconds
        while self._buffer.rows < self._file_rows:
            try:
                drawn = self._queue.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                return True
            if drawn is None:
                return False
            self._add(drawn)
        return True

    def _add(self, drawn: _Drawn) -> None:
        scorer, rows, score_NO, place_K = drawn
        try:
            self._buffer.add(scorer, SampledRows.of(rows, score_NO, place_K, scorer.encoder.spec))
        except FAILED as error:
            self._buffer.fail(len(place_K), error)
        finally:
            with self._lock:
                self._waiting -= len(score_NO)
