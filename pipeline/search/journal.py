"""A study's journal: its place, its lines of JSON, a change each, its lock, and the search for damaged lines."""

from __future__ import annotations

import json
from pathlib import Path

from filelock import FileLock
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock

from features.errors import InputError
from pipeline.config.run import RunConfig


def study_of(config: RunConfig) -> str:
    """The name of a config's study."""
    preset = f"-{config.search.preset}" if config.search.preset else ""
    return config.search.study or f"{config.name}{preset}"


def folder_of(config: RunConfig) -> Path:
    """The folder of the studies."""
    return config.runs / "studies"


def journal_of(config: RunConfig) -> Path:
    """The file of a study without a database."""
    return (folder_of(config) / study_of(config)).with_suffix(".journal")


def open_journal(journal: Path) -> JournalStorage:
    """The storage of a journal, which is made if it is not there.

    Raises:
        InputError: If a line is damaged.
    """
    if problem := damage(journal):
        raise InputError(f"{problem}; {REMEDY}")
    return JournalStorage(JournalFileBackend(str(journal), _KernelLock(journal)))


REMEDY = (
    "copy the file and delete the line, or bring back a backup; "
    "or give another `search.study`: it finds the runs of equal trials trained"
)


def damage(journal: Path) -> str:
    """The sentence that a line is damaged, by a power cut for example; empty if none is.

    The end of a line whose writer was killed is no damage: the next writer removes it.
    """
    if not journal.exists():
        return ""
    with journal.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n") and not _is_change(line):
                return f"line {number} of {journal} is damaged"
    return ""


def _is_change(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:  # also of bytes that are no UTF-8
        return False


class _KernelLock(BaseJournalFileLock):
    """A journal's lock that ends with its process; Optuna's own blocks all workers for 30 s after one is killed."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._lock = FileLock(journal.with_suffix(".journal.lock"))

    def acquire(self) -> bool:
        """Take the lock, and remove the half line of a process killed while writing, so that lines can follow."""
        self._lock.acquire()
        with self._journal.open("rb+") as stream:
            end = stream.seek(0, 2)
            while end and stream.seek(end - 1) is not None and stream.read(1) != b"\n":
                end -= 1
            stream.truncate(end)
        return True

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()
