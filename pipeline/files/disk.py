"""A full disk, which each library that writes tells in other words."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from features.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT)
# The words of Polars, safetensors, torch and SQLite.
_WORDS = ("no space left on device", "disk quota exceeded", "database or disk is full")
_NOTHING = 1 << 16  # bytes; a write fails only when less than a few blocks are left


def is_full(error: BaseException, folder: Path | None = None) -> bool:
    """Whether an error or one of its causes tells of a full disk.

    Args:
        error: The error.
        folder: A folder in which a write has just failed: Polars does not always say why.
    """
    if isinstance(error, InputError):
        return False
    if any(_tells(one) for one in causes(error)):
        return True
    return folder is not None and shutil.disk_usage(folder).free < _NOTHING


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and the errors behind it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _tells(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(words in str(error).lower() for words in _WORDS)
