"""Worker processes of a command: they end with it, in order at the first interruption and at once at the second."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from features.errors import InputError
from pipeline.runtime.signals import INTERRUPTED, end_with_parent, uninterrupted

_SLOW = 2.0  # seconds of waiting for workers after which a line says what they do
_log = logging.getLogger(__name__)


class LostWorkerError(InputError):
    """A worker was killed from outside, mostly because memory was short. The search tries its work again."""


class Workers:
    """Processes of this command, each with a connection to it; leaving the block ends those that still run.

    A worker is told to end by SIGTERM. Ctrl-C, which a terminal sends to every process, is for this process alone.

    Args:
        work: Main function of a worker, called with its connection and further arguments. Its return ends the worker;
            an error that it raises is raised by :meth:`messages` here.
    """

    def __init__(self, work: Callable[..., None]) -> None:
        self._work = work
        self._context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        self._running: dict[Connection, BaseProcess] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running.values():
            process.terminate()
        begin, is_told = time.monotonic(), False
        while self._running:
            # Messages are read and dropped: a worker could not end while it waits for a reader.
            for _ in self._ready(_SLOW):
                pass
            if not is_told and time.monotonic() - begin > _SLOW:
                is_told = True
                ends = "another Ctrl-C ends" if kind is KeyboardInterrupt else "Ctrl-C twice ends"
                _log.warning(f"the workers finish and save what they do; {ends} them at once")

    def __len__(self) -> int:
        """Number of workers that run."""
        return len(self._running)

    @uninterrupted()  # a worker that is half started would be nobody's
    def start(self, *arguments: Any) -> Connection:
        """Start a worker.

        Args:
            arguments: Further arguments of `work`.
        """
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_main, args=(self._work, theirs, arguments))
        # The worker inherits the blocked signal: Ctrl-C while it imports its modules would print its traceback.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._running[ours] = process
        return ours

    def messages(self, timeout: float | None = None) -> Iterator[tuple[Connection, Any]]:
        """The messages of workers that have arrived, after waiting for the first; None for a worker that has ended.

        Args:
            timeout: Longest wait in seconds; None for no limit.

        Raises:
            LostWorkerError: If a worker was killed.
            Exception: An error of a worker.
        """
        for connection, message, code in self._ready(timeout):
            if isinstance(message, _Failure):
                raise message.error
            if code:
                raise LostWorkerError(f"a worker process {_ended(code)}")
            yield connection, message

    def _ready(self, timeout: float | None) -> Iterator[tuple[Connection, Any, int]]:
        """A message of each connection to read, with 0; None with its exit code for a worker that has ended."""
        for connection in wait([*self._running], timeout):
            assert isinstance(connection, Connection)
            try:
                yield connection, connection.recv(), 0
            except (EOFError, OSError):
                process = self._running.pop(connection)
                process.join()
                connection.close()
                yield connection, None, process.exitcode or 0


class _Failure:
    """An error on its way from a worker."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _main(work: Callable[..., None], connection: Connection, arguments: tuple[Any, ...]) -> None:
    """Main function of a worker process."""
    end_with_parent([signal.SIGINT])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    try:
        work(connection, *arguments)
    except KeyboardInterrupt:  # told to end, where `work` has a handler for that
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        if not isinstance(error, InputError):
            error.add_note("".join(["in a worker process:\n", *traceback.format_exception(error)]))
        connection.send(_Failure(error))


def _ended(code: int) -> str:
    fix = "often memory is short: try fewer workers, smaller batches or smaller tables"
    return f"was killed by signal {-code}; {fix}" if code < 0 else f"ended with code {code}"
