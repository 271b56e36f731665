"""The message and the exit code of each error that ends a command."""

from __future__ import annotations

import re
from itertools import islice

from filelock import Timeout

from features.errors import InputError
from features.nearest import nearest
from jobs.console import FAILED, LOCKED, WRONG_INPUT, err
from pipeline.files.disk import causes, is_full
from pipeline.files.redaction import without_passwords
from pipeline.runtime import trio
from pipeline.runtime.signals import INTERRUPTED
from pipeline.tracking.errors import AwayError

_GOES_ON = "the same command goes on from there"


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
    elif is_full(error):
        message = f"error: {_full_disk(error)}; what was finished is kept: free some space, and {_GOES_ON}"
        code = FAILED
    elif without := trio.missing(error):
        message, code = f"error: {without}", FAILED
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


def _full_disk(error: BaseException) -> str:
    """The words for a full disk, with the file that did not fit if that is known."""
    named = (one.filename for one in causes(error) if isinstance(one, OSError) and one.filename)
    return "the disk is full" + "".join(f" at {name}" for name in islice(named, 1))
