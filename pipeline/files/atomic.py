"""Atomic writes, so that a reader never sees half a file, and fingerprints of content."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.files.disk import is_full


@contextmanager
def atomic(target: Path) -> Iterator[Path]:
    """A sibling path to write a file or a folder to; it takes the target's place only if the block succeeds.

    Raises:
        OSError: With ENOSPC, if the block fails since the disk is full, whatever error it raises.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    _remove(draft)  # a killed process with the same id may have left one
    try:
        yield draft
        if target.is_dir():
            shutil.rmtree(target)
        draft.replace(target)
    except Exception as error:
        if is_full(error, target.parent):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
        raise
    finally:
        _remove(draft)


@contextmanager
def durable(target: Path) -> Iterator[Path]:
    """Like :func:`atomic`, with the content on the disk when the block is left, so that it survives a power cut."""
    with atomic(target) as draft:
        yield draft
        for path in (*draft.rglob("*"), draft):
            _sync(path)
    _sync(target.parent)


def remove_drafts(folder: Path, drafts: str = "**/.*.draft") -> None:
    """Remove the drafts of killed processes below a folder. Needs a lock: drafts of live processes go, too."""
    for draft in list(folder.glob(drafts)):
        _remove(draft)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(content: Any) -> str:
    """Sixteen hexadecimal digits that equal content always gives.

    The order of keys counts, because the order of features and tasks is a choice that changes the trained model.
    """
    canonical = json.dumps(content, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
