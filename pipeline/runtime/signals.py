"""Ctrl-C and SIGTERM: the first ends a command in order, a second one at once; and children whose parent is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = 130  # the exit code of an interrupted command
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ECHO = 0.5  # seconds; make, uv and schedulers hand on a signal that the command has already received itself
_AGAIN = 0.05  # seconds until an interruption that Python has ignored comes again
_LAST_WORDS = b"\nended at once; the same command goes on from what was saved before\n"
_SHOW_CURSOR = b"\x1b[?25h"  # progress bars hide it
_Handler = Callable[[int, FrameType | None], object] | int


class Interruptions:
    """The handler of Ctrl-C and SIGTERM in one process: the first one raises KeyboardInterrupt.

    Args:
        second_ends: Whether a later signal ends the process and its children at once; otherwise it is ignored.
    """

    def __init__(self, *, second_ends: bool) -> None:
        self._second_ends = second_ends
        self._first: float | None = None
        self._again: threading.Timer | None = None

    @property
    def has_arrived(self) -> bool:
        """Whether a signal has arrived."""
        return self._first is not None

    def arrive(self) -> bool:
        """Count a signal, and return whether it is the first one."""
        now = time.monotonic()
        if self._first is None:
            self._first = now
            return True
        if self._second_ends and now - self._first > _ECHO:
            _end_at_once()
        return False

    def deliver(self, _: int) -> NoReturn:
        """Interrupt the program by a signal that is counted already."""
        raise KeyboardInterrupt

    def __call__(self, number: int, _: FrameType | None) -> None:
        """Hear a signal."""
        if self.arrive():
            self.deliver(number)

    def again(self, unraisable: Any) -> None:
        """Interrupt the program a moment later if Python met the interruption where it ignores every error.

        Args:
            unraisable: The argument of :func:`sys.unraisablehook`: most often a callback in the middle of an import.
        """
        if unraisable.exc_type is not KeyboardInterrupt:
            sys.__unraisablehook__(unraisable)
            return
        self._first = None
        self._again = threading.Timer(_AGAIN, os.kill, (os.getpid(), signal.SIGINT))
        self._again.start()

    def close(self) -> None:
        """Send no interruption again: the program ends."""
        if self._again:
            self._again.cancel()


@contextmanager
def interruptible(*, second_ends: bool, signals: Sequence[signal.Signals] = _SIGNALS) -> Iterator[Interruptions]:
    """Handle signals by :class:`Interruptions` while the block runs; outside the main thread this does nothing.

    Signals that are ignored stay ignored: Ctrl-C is not for a command in the background of a shell.

    Args:
        second_ends: As for :class:`Interruptions`.
        signals: The signals to handle.
    """
    handler = Interruptions(second_ends=second_ends)
    if threading.current_thread() is not threading.main_thread():
        yield handler
        return
    heard = [number for number in signals if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heard}
    hook, sys.unraisablehook = sys.unraisablehook, handler.again
    try:
        yield handler
    finally:
        sys.unraisablehook = hook
        handler.close()
        for number, found in before.items():
            signal.signal(number, found or signal.SIG_DFL)


def _end_at_once() -> NoReturn:
    # Neither buffers nor `atexit`: they wait for threads and children.
    for child in multiprocessing.active_children():
        child.kill()
    os.write(2, _LAST_WORDS + (_SHOW_CURSOR if os.isatty(2) else b""))
    os._exit(INTERRUPTED)


class _Hold:
    """The handler of a block that is not to be interrupted."""

    def __init__(self, *, patient: bool) -> None:
        found: dict[int, _Handler] = {number: signal.getsignal(number) or signal.SIG_DFL for number in _SIGNALS}
        self.handlers = {number: handler for number, handler in found.items() if handler is not signal.SIG_IGN}
        self.held: list[int] = []
        self._patient = patient
        # The handler of the command, below the handlers of other such blocks around this one.
        roots = [h if isinstance(h, Interruptions) else getattr(h, "root", None) for h in self.handlers.values()]
        self.root: Interruptions | None = next(filter(None, roots), None)

    def __call__(self, number: int, _: FrameType | None) -> None:
        if self.root is None or self.root.arrive():
            self.deliver(number)

    def deliver(self, number: int) -> None:
        self.held.append(number)
        if self.root is None and not self._patient:
            self.restore()

    def restore(self) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def hand_on(self) -> None:
        """Give the held signals to the handlers found before."""
        for number in dict.fromkeys(self.held):
            handler = self.handlers[number]
            if isinstance(handler, Interruptions | _Hold):
                handler.deliver(number)
            else:
                signal.raise_signal(number)


@contextmanager
def uninterrupted(*, patient: bool = False) -> Iterator[Sequence[int]]:
    """Hold an interruption back until the block is done; a second one is not held.

    A database client that is interrupted inside a transaction keeps the database locked for the next client.
    Outside the main thread, where no signal arrives, this does nothing.

    Args:
        patient: Hold every interruption, for a block that looks at the held signals and soon ends by itself: a worker
            may be told to end more than once. Within :func:`interruptible` a second one ends a command all the same.

    Yields:
        The signals held so far.
    """
    if threading.current_thread() is not threading.main_thread():
        yield ()
        return
    hold = _Hold(patient=patient)
    for number in hold.handlers:
        signal.signal(number, hold)
    try:
        yield hold.held
    finally:
        hold.restore()
        hold.hand_on()


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
