"""The files that a source of an import means, each with its format."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from features.errors import InputError
from pipeline.files.content import copies_problem, find_copies
from pipeline.files.foreign import uri_problem
from pipeline.files.table import tables_above
from pipeline.files.walk import Walk, is_pattern
from pipeline.ingestion.base import Format
from pipeline.ingestion.delta import is_delta, present_files
from pipeline.ingestion.formats import FORMATS, format_of


@dataclass(frozen=True)
class Found:
    """The files of a source.

    Args:
        formats: The files in their order, and the format of each.
        base: The folder below which the folders of files are kept.
        left_out: Files of the same folders in no format that can be read.
        empty: Files of text without a byte.
    """

    formats: Mapping[Path, Format]
    base: Path
    left_out: Sequence[Path] = field(default_factory=tuple)
    empty: Sequence[Path] = field(default_factory=tuple)


def find(source: str) -> Found:
    """The files of a path, folder or pattern of this machine, or the present files of a Delta table.

    Raises:
        InputError: If there is none; or a folder cannot be looked into, or is a table that cannot be read; or files are
            copies. All problems are listed.
    """
    path = Path(source)
    if is_delta(path):
        return Found(present_files(path), path)
    walk = walked(source, lambda one: format_of(one) is not None)
    found = sorted(walk.files)
    if problems := [*map(copies_problem, find_copies(found, count=_size))]:
        raise _error(source, problems)
    every = {one: form for one in found if (form := format_of(one)) is not None}
    if not every:
        raise InputError(_nothing(source, [*found, *sorted(walk.left_out)]))
    empty = [one for one, form in every.items() if form.found_types and not _size(one)]
    formats = {one: form for one, form in every.items() if one not in empty}
    if not formats:
        raise InputError(f"`{source}` has no rows: {len(empty)} file(s) are empty, as {empty[0]}; name files with rows")
    return Found(formats, _base(path, list(formats)), sorted({*walk.left_out, *found} - every.keys()), empty)


def walked(source: str, is_called_so: Callable[[Path], bool]) -> Walk:
    """A walk through the files of a path, folder or pattern.

    Args:
        source: The files.
        is_called_so: Whether a file may be one of them by its name.

    Raises:
        InputError: If a folder cannot be looked into, or is a table of a format in which old files lie beside.
    """
    path, walk = Path(source), Walk(is_called_so)
    if os.path.lexists(path):
        walk.visit(path, named=True)
    elif (problem := uri_problem(source)) is not None:
        raise InputError(problem)
    elif is_pattern(source):
        walk.expand(Path(path.anchor), path.parts[len(Path(path.anchor).parts) :])
    if problems := [*walk.problems, *tables_above(walk.files)]:
        raise _error(source, problems)
    return walk


def _error(source: str, problems: Sequence[str]) -> InputError:
    return InputError.of(f"`{source}` cannot be imported", list(dict.fromkeys(problems)))


def _nothing(source: str, others: Sequence[Path]) -> str:
    endings = ", ".join(ending for form in FORMATS for ending in form.endings)
    where = "" if Path(source).is_absolute() else f" (in {Path.cwd()})"
    has = f"; {len(others)} file(s) have other endings, as {others[0]}" if others else ""
    rule = f"files end in {endings}, also packed as .gz, .zst or .bz2"
    return f"no file at `{source}` can be imported{where}{has}; {rule}"


def _base(path: Path, files: Sequence[Path]) -> Path:
    """The folder itself, or the deepest one that has all files in it."""
    if path.is_dir():
        return path
    parents = [set(file.parents) for file in files]
    return max(set.intersection(*parents), key=lambda one: len(one.parts))


def _size(path: Path) -> int:
    return path.stat().st_size
