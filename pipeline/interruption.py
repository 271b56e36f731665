"""Ctrl-C and SIGTERM where they would leave something half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold an interruption back until the block is done; a second one is not held.

    A database client that is interrupted inside a transaction keeps the database locked for whoever comes next.
    Outside the main thread, where no signal arrives, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGTERM)}
    held: list[int] = []

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def hold(number: int, _: object) -> None:
        held.append(number)
        restore()

    for number in handlers:
        signal.signal(number, hold)
    try:
        yield
    finally:
        restore()
        for interruption in held:
            signal.raise_signal(interruption)
