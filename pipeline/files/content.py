"""Files by their content: digests, and files of one content, whose rows would count several times."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from pathlib import Path

from pipeline.files.atomic import sha256_file
from pipeline.files.parquet import count_rows

_UNREADABLE = "unreadable"


def digest(path: Path) -> str:
    """SHA-256 of a file; a word that is no digest if it cannot be read, which the check of its schema reports."""
    try:
        return sha256_file(path)
    except OSError:
        return _UNREADABLE


def find_copies(
    files: Iterable[Path], apart: Callable[[Path], Hashable] = lambda _: None
) -> Iterator[tuple[Path, ...]]:
    """Files of one content that hold rows, by links or copies, several at a time.

    Args:
        files: Readable Parquet files.
        apart: The further content of a file's rows, such as its partition; equal files that differ in it are no copies.
    """
    sizes: dict[int, list[Path]] = {}
    for path in files:
        sizes.setdefault(path.stat().st_size, []).append(path)
    for alike in sizes.values():
        equal: dict[Hashable, list[Path]] = {}
        for path in alike if len(alike) > 1 else ():
            equal.setdefault((digest(path), apart(path)), []).append(path)
        yield from (tuple(paths) for paths in equal.values() if len(paths) > 1 and count_rows(paths[0]))


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
