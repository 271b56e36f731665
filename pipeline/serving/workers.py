"""Several processes that answer requests at one port; one that dies is started again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import RawArray
from socket import socket
from typing import Any, Protocol

import numpy as np

from features.errors import InputError
from pipeline.runtime.processes import LostWorkerError, Workers
from pipeline.serving.metrics import COUNTS, Metrics

_PAUSE = 5.0  # seconds between two starts of a worker: one that cannot start would only keep a core busy
_LOOK = 1.0  # seconds
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """The place of a worker among the workers of a server.

    Args:
        number: Its number, from 0.
        workers: Number of the workers.
        sockets: The sockets that all of them listen at.
        counts: The counts of all of them, in shared memory.
    """

    number: int
    workers: int
    sockets: tuple[socket, ...]
    counts: Any

    def __str__(self) -> str:
        return f"worker {self.number + 1} of {self.workers}"

    @cached_property
    def metrics(self) -> Metrics:
        """Counts this worker's requests, and sums up those of all."""
        counts_WK = np.frombuffer(self.counts).reshape(self.workers, COUNTS)
        return Metrics(counts_WK, self.number)


class Work(Protocol):
    """The main function of a worker, which can be pickled: it sends a message once it listens, and ends by SIGTERM."""

    def __call__(self, connection: Connection, place: Place, /, *arguments: Any) -> None:
        """Answer requests."""


def run_workers(
    work: Work, arguments: tuple[Any, ...], number: int, sockets: list[socket], ready: Callable[[Any], None]
) -> None:
    """Run workers until SIGTERM or Ctrl-C, then let them finish their requests in progress.

    The workers accept connections from the same sockets: connections that arrive while one worker is started again are
    taken by the others. Counts of a worker that died stay in the sum.

    Args:
        work: Main function of a worker.
        arguments: Its arguments after the connection and the place.
        number: Number of workers.
        sockets: Where they listen; closed at the end.
        ready: Called with the first worker's message once all of them listen.

    Raises:
        Exception: The error of a worker that could not start. Later ones are logged, and the worker is started again.
    """
    counts = RawArray("d", number * COUNTS)
    places = [Place(n, number, tuple(sockets), counts) for n in range(number)]
    with Workers(work) as workers:
        try:
            running = {workers.start(place, *arguments): place for place in places}
            ready(_first_message(workers, number))
            _keep(workers, running, arguments)
        except KeyboardInterrupt:
            return
        finally:
            # While this process had them open, connections would go on arriving that no worker accepts.
            for one in sockets:
                one.close()


def _first_message(workers: Workers, number: int) -> Any:
    """The message of the worker that listens first, once all have sent theirs."""
    found: list[Any] = []
    while len(found) < number:
        found += [message for _, message in workers.messages()]
    return found[0]


def _keep(workers: Workers, running: dict[Connection, Place], arguments: tuple[Any, ...]) -> None:
    """Start workers again that have ended."""
    begun = dict.fromkeys(range(len(running)), time.monotonic())
    while True:
        _listen(workers, running)
        for connection in [one for one in running if one.closed]:
            place = running[connection]
            if time.monotonic() > begun[place.number] + _PAUSE:
                _log.warning("%s has ended and is started again", place)
                begun[place.number] = time.monotonic()
                del running[connection]
                running[workers.start(place, *arguments)] = place


def _listen(workers: Workers, running: dict[Connection, Place]) -> None:
    """Log what workers say within a second."""
    try:
        for connection, message in workers.messages(_LOOK):
            if message is not None:
                _log.warning("%s answers again", running[connection])
    except LostWorkerError as error:
        _log.warning("%s", error)
    except InputError as error:
        _log.warning("a worker could not start: %s", error)
    except Exception:
        _log.exception("a worker could not start")
