"""Files by their content: digests, and files of one content, whose rows would count several times."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from types import MappingProxyType

from pipeline.files.atomic import sha256_file
from pipeline.files.parquet import count_rows
from pipeline.files.partitions import Partitions, values_of

_UNREADABLE = "unreadable"


def digest(path: Path) -> str:
    """SHA-256 of a file; a word that is no digest if it cannot be read, which the check of its schema reports."""
    try:
        return sha256_file(path)
    except OSError:
        return _UNREADABLE


def identity(path: Path, declared: Partitions) -> str:
    """All that a file's rows depend on: its content and, if partitions are declared as columns, their values."""
    values = "".join(f" {key}={value}" for key, value in zip(declared, values_of(path, declared), strict=True))
    return digest(path) + values


def find_copies(
    files: Iterable[Path],
    declared: Partitions = MappingProxyType({}),
    count: Callable[[Path], int] = count_rows,
) -> Iterator[tuple[Path, ...]]:
    """Files of one content that hold rows, by links or copies, several at a time.

    Args:
        files: Readable Parquet files.
        declared: Partitions that are columns of the rows; equal files with different values are no copies.
        count: The number of rows of a file, or a number that is 0 without rows.
    """
    sizes: dict[int, list[Path]] = {}
    for path in files:
        sizes.setdefault(path.stat().st_size, []).append(path)
    for alike in sizes.values():
        equal: dict[str, list[Path]] = {}
        for path in alike if len(alike) > 1 else ():
            equal.setdefault(identity(path, declared), []).append(path)
        yield from (tuple(paths) for paths in equal.values() if len(paths) > 1 and count(paths[0]))


def copies_problem(copies: tuple[Path, ...]) -> str:
    """The problem of files of one content."""
    first, second, *others = copies
    more = f" and {len(others)} more" if others else ""
    are = "are one file, by a link" if first.samefile(second) else "have the same content"
    return f"{first} and {second}{more} {are}, so each of its rows would count {len(copies)} times; remove all but one"


def among(copies: Iterable[tuple[Path, ...]], files: Collection[Path]) -> Iterator[tuple[Path, ...]]:
    """The copies among some of the files."""
    for every in copies:
        if len(some := tuple(path for path in every if path in files)) > 1:
            yield some
