"""The message and the exit code of each error that ends a command."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from filelock import Timeout

from features.errors import InputError
from features.nearest import nearest
from jobs.console import FAILED, LOCKED, WRONG_INPUT, err
from pipeline.files.redaction import without_passwords
from pipeline.runtime.signals import INTERRUPTED
from pipeline.tracking.errors import AwayError

_GOES_ON = "the same command goes on from there"
_FULL = (errno.ENOSPC, errno.EDQUOT)
# A full disk in the words of the libraries that write: Polars, safetensors, torch, Optuna and SQLite.
_FULL_TEXTS = ("no space left on device", "disk quota exceeded", "database or disk is full")


def report(error: BaseException, *, interrupted: bool) -> int | None:
    """Print an error as one message, without a traceback.

    Args:
        error: The error.
        interrupted: Whether the command was told to end; then any error is a consequence of that.

    Returns:
        The exit code; None for an error that is a bug of ours, which is not printed.
    """
    message, code = "", None
    if interrupted or isinstance(error, KeyboardInterrupt):
        message, code = f"interrupted; {_GOES_ON}", INTERRUPTED
    elif isinstance(error, Timeout):
        message, code = f"error: another run holds {error.lock_file}; wait for it to end", LOCKED
    elif full := disk_full(error):
        message, code = f"error: {full}; what was finished is kept: free some space, and {_GOES_ON}", FAILED
    elif isinstance(error, InputError | AwayError):
        message, code = f"error: {error}", WRONG_INPUT if isinstance(error, InputError) else FAILED
    if message:
        err.print(without_passwords(message), style="red", highlight=False, markup=False, soft_wrap=True)
    return code


def in_plain_words(message: str) -> str:
    """Typer's message of a wrong option or argument, with the nearest choice where it lists choices."""
    message = message.removeprefix("Value error, ")
    if found := re.fullmatch(r"'(.*)' is not one of (.*)\.", message, flags=re.DOTALL):
        choices = re.findall(r"'([^']*)'", found[2])
        return f"'{found[1]}' is not one of {', '.join(choices)}" + (
            f"; did you mean `{near}`?" if (near := nearest(found[1], choices)) else ""
        )
    return re.sub(r"does not match the formats '%Y-%m-%d'", "is no day such as 2026-01-31", message)


def disk_full(error: BaseException) -> str | None:
    """The words for a full disk, if an error or one of its causes tells of it and is no message of ours."""
    if isinstance(error, InputError):
        return None
    for one in _causes(error):
        if isinstance(one, OSError) and one.errno in _FULL:
            return "the disk is full" + (f" at {one.filename}" if one.filename else "")
        if any(text in str(one).lower() for text in _FULL_TEXTS):
            return "the disk is full"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
