"""Ctrl-C and SIGTERM where they would leave something half done, and processes whose parent is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def uninterrupted(*, patient: bool = False) -> Iterator[Sequence[int]]:
    """Hold an interruption back until the block is done; a second one is not held.

    A database client that is interrupted inside a transaction keeps the database locked for the next client.
    Outside the main thread, where no signal arrives, this does nothing.

    Args:
        patient: Hold every interruption, for a block that looks at the held signals and soon ends by itself: a pool
            tells its workers to end more than once.

    Yields:
        The signals held so far.
    """
    if threading.current_thread() is not threading.main_thread():
        yield ()
        return
    found = {number: signal.getsignal(number) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in found.items() if handler is not signal.SIG_IGN}
    held: list[int] = []

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def hold(number: int, _: object) -> None:
        held.append(number)
        if not patient:
            restore()

    for number in handlers:
        signal.signal(number, hold)
    try:
        yield held
    finally:
        restore()
        for interruption in dict.fromkeys(held):
            signal.raise_signal(interruption)


def end_with_parent(ignored: Sequence[signal.Signals]) -> None:
    """Let a child process end when its parent was killed: it would go on training in vain, and then wait for ever.

    Args:
        ignored: Signals that the child ignores from now on; its parent decides when it ends.
    """
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
