"""An entry: a folder or a file that cleaning judges, with the reason why it goes or stays."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

Kind = Literal["run", "checkpoints", "prepared data", "draft", "model files"]
UNNEEDED = "older, and nothing needs it"


@dataclass(frozen=True)
class Entry:
    """A folder or a file that cleaning judges.

    Args:
        kind: Its kind.
        name: Its path, or its name in the registry.
        goes: Whether it is removed.
        why: The reason.
        remove: Removes it. A process that is killed meanwhile leaves nothing that would be found as whole.
        size: Bytes that its removal sets free; of an entry that stays, bytes that it holds. Files with several names,
            as grown data has them, count once.
    """

    kind: Kind
    name: str
    goes: bool
    why: str
    remove: Callable[[], None] = field(repr=False, compare=False)
    size: int = 0

    @classmethod
    def at(cls, kind: Kind, path: Path, *, stays: str = "", goes: str = UNNEEDED) -> Entry:
        """The entry of a path.

        Args:
            kind: Its kind.
            path: The path.
            stays: The reason why it stays; empty if it goes.
            goes: The reason why it goes.
        """
        return cls(kind, str(path), not stays, stays or goes, partial(remove_whole, path))


def remove_whole(path: Path) -> None:
    """Remove a file or a folder. A folder first gets the name of a draft, which no reader takes for a result."""
    if path.is_dir() and not path.is_symlink():
        doomed = path.with_name(f".{path.name}.{os.getpid()}.draft") if not path.name.startswith(".") else path
        path.rename(doomed)
        shutil.rmtree(doomed)
    else:
        path.unlink(missing_ok=True)


def measured(entries: Iterable[Entry]) -> list[Entry]:
    """The entries of paths with their sizes; those of the registry keep theirs."""
    listed = list(entries)
    found = {entry.name: list(_files(Path(entry.name))) for entry in listed if entry.kind != "model files"}
    going = Counter(file.st_ino for entry in listed if entry.goes for file in found.get(entry.name, ()))
    seen: set[int] = set()
    sized = []
    for entry in listed:
        size = entry.size
        for file in found.get(entry.name, ()):
            is_freed = going[file.st_ino] >= file.st_nlink
            if entry.goes == is_freed and file.st_ino not in seen:
                seen.add(file.st_ino)
                size += file.st_size
        sized.append(replace(entry, size=size))
    return sized


def last_change(path: Path) -> float:
    """The time of the latest change of a file, or of anything in a folder, in seconds since 1970."""
    return max((file.st_mtime for file in _files(path)), default=path.lstat().st_mtime)


def _files(path: Path) -> Iterator[os.stat_result]:
    paths = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    for each in paths:
        if each.is_file() and not each.is_symlink():
            yield each.stat()
