"""Copies to the host for which nobody has waited yet: their destinations hold nonsense until then."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.logical_device.log import Log


class Queue:
    """The asynchronous copies of the device's one stream."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.made = 0  # copies so far
        self._open: list[tuple[int, Tensor, Tensor]] = []

    def copy_later(self, into: Tensor, source: Tensor) -> Tensor:
        """Start a copy: who reads before waiting reads NaN, or the largest number of the type."""
        self.made += 1
        self._open.append((self.made, into, source.clone()))
        kind = into.dtype
        nonsense = float("nan") if kind.is_floating_point else kind == torch.bool or torch.iinfo(kind).max
        return into.fill_(nonsense)

    def finish(self, copies: int) -> None:
        """Finish the first copies of the stream."""
        left = []
        for number, into, source in self._open:
            if number <= copies:
                into.copy_(source)
            else:
                left.append((number, into, source))
        self._open = left


class Event:
    """As ``torch.cuda.Event``: a point of the stream. Waiting for it is no wait for what was queued after it."""

    queue: Queue

    def __init__(self, **_: object) -> None:
        self._copies = 0

    def record(self, stream: object = None) -> None:
        """Let the event be the present end of the stream."""
        self._copies = self.queue.made

    def synchronize(self) -> None:
        """Wait for the event."""
        self.queue.log.add("an event of an earlier step", waits=False)
        self.queue.finish(self._copies)

    def query(self) -> bool:
        """False, as if the device were always behind."""
        return False


class Stream:
    """As ``torch.cuda.Stream``: the device's one stream.

    Args:
        queue: Its copies.
        device: The device.
    """

    def __init__(self, queue: Queue, device: object = None) -> None:
        self._queue = queue

    def synchronize(self) -> None:
        """Wait for all of the device's work."""
        self._queue.log.add("all of the device's work", waits=True)
        self._queue.finish(self._queue.made)
