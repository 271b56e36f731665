"""The files that a path, a folder or a pattern means as a table: the same for training, labelling and scoring."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from features.errors import InputError
from features.nearest import nearest
from pipeline.files.foreign import holds_parquet, table_problem, text_problem, uri_problem
from pipeline.files.walk import Walk, is_pattern


@dataclass(frozen=True)
class Table:
    """The files of a table, each once and in order, and those beside them that are not read.

    Args:
        files: The Parquet files. A file that is damaged, a link to nothing or a folder called ``x.parquet`` without
            files is among them: reading it fails, and names it.
        left_out: The other files of the same folders, except those whose names begin with ``.`` or ``_``.
    """

    files: tuple[Path, ...]
    left_out: tuple[Path, ...] = ()

    def without(self, files: Iterable[Path]) -> Table:
        """The table without some of its files."""
        dropped = set(files)
        return Table(tuple(path for path in self.files if path not in dropped), self.left_out)

    @property
    def note(self) -> str:
        """A sentence on the files that are left out; empty if there are none."""
        if not self.left_out:
            return ""
        parquet = [path for path in self.left_out if holds_parquet(path)]
        rule = "Parquet files end in .parquet, .pq or .parq, or have no ending"
        words = f"{len(self.left_out)} file(s) left out, as {self.left_out[0]}: {rule}"
        if parquet:
            words += f"; {len(parquet)} of them hold(s) Parquet, as {parquet[0]}: rename what belongs to the rows"
        return words


def find_table(text: str) -> Table:
    """The files that a path, a folder (with all folders in it) or a pattern means.

    An existing path is that path; only another text is a pattern, whose ``**`` stands for any number of folders. A
    folder that a pattern matches is read like one that is named. Names that begin with ``.`` or ``_`` are skipped, as
    by every reader of tables, unless the user wrote them; partitions such as ``_kind=x`` are not. Links are followed.

    Args:
        text: The path or pattern, as a config or a command has it.

    Raises:
        InputError: If there is no Parquet file; or a folder cannot be looked into, links to itself, or holds a table of
            another format. All problems are listed.
    """
    path, walk = Path(text), Walk()
    if os.path.lexists(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InputError(f"{path} is neither a file nor a folder; give one of the two")
        walk.visit(path, named=True)
    elif (problem := uri_problem(text)) is not None:
        raise InputError(problem)
    elif is_pattern(text):
        walk.expand(Path(path.anchor), path.parts[len(Path(path.anchor).parts) :])
    walk.problems += tables_above(walk.files)
    # A pattern may match texts by their ending.
    walk.problems += filter(None, map(text_problem, sorted(walk.files)))
    table = Table(tuple(sorted(walk.files)), tuple(sorted(walk.left_out)))
    if not walk.problems and not table.files:
        walk.problems.append(_nothing(text, table, has_hidden=walk.has_hidden))
    problems = list(dict.fromkeys(walk.problems))
    if len(problems) > 1:
        raise InputError.of(f"`{text}` cannot be read", problems)
    if problems:
        raise InputError(problems[0])
    return table


def tables_above(files: Iterable[Path]) -> Iterator[str]:
    """The problems of tables of other formats that files lie in, above the folders that were looked into."""
    folders = {path.parent.resolve() for path in files}
    for folder in sorted({above for inner in folders for above in (inner, *inner.parents)}):
        names = [name for name in ("_delta_log", ".hoodie", "metadata") if (folder / name).is_dir()]
        if (problem := table_problem(folder, names)) is not None:
            yield problem


def _nothing(text: str, table: Table, *, has_hidden: bool) -> str:
    words = f"no Parquet file at `{text}` (paths are relative to the folder of the command, now {Path.cwd()})"
    if near := _nearest_path(Path(text)):
        words += f"; did you mean `{near}`?"
    if table.left_out:
        words += f"; {table.note}"
    if has_hidden:
        words += "; names that begin with `.` or `_` are skipped, as by every reader of tables"
    return words


def _nearest_path(path: Path) -> Path | None:
    """The existing path that was probably meant by one that does not exist: one name in it differs."""
    for place in reversed(path.parents):
        if not place.is_dir():
            return None
        name = path.parts[len(place.parts)]
        if not (place / name).exists():
            near = nearest(name, (found.name for found in place.iterdir()))
            rest = path.parts[len(place.parts) + 1 :]
            return place.joinpath(near, *rest) if near and place.joinpath(near, *rest).exists() else None
    return None
