"""A walk through folders and patterns: every file that is met is one of the table, or is left out by a rule."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from pipeline.files.foreign import holds_parquet, table_problem

ENDINGS = (".parquet", ".pq", ".parq")
# Files that our own commands write beside rows.
_OURS = ("manifest.json", "parameters.json", "score.json")
_MAGIC = re.compile(r"[*?[]")

Folders = tuple[tuple[int, int], ...]


def is_pattern(name: str) -> bool:
    """Whether a name has characters that match others."""
    return bool(_MAGIC.search(name))


def is_hidden(name: str) -> bool:
    """Whether readers of tables skip a name: it begins with a dot or, unless it is a partition, an underscore."""
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


class Walk:
    """What one walk has met.

    Files of the table are regular files that are named by the user, end in .parquet, .pq or .parq in any case, or have
    no ending and hold Parquet. A link to nothing and a folder without files count as such a file if they are called
    so: data is missing there.

    Args:
        is_called_so: Whether a file is one of the table by its name; by default, by the endings of Parquet files.
    """

    def __init__(self, is_called_so: Callable[[Path], bool] | None = None) -> None:
        self._is_called_so = is_called_so or _is_called_so
        self.files: set[Path] = set()
        self.left_out: set[Path] = set()
        self.has_hidden = False
        self.problems: list[str] = []

    def visit(self, path: Path, above: Folders | None = None, *, named: bool = False) -> None:
        """A file, or a folder with all that is below it.

        Args:
            path: The path.
            above: The folders above it; by default those of its absolute path.
            named: Whether the user wrote this very name, or its ending.
        """
        try:
            if path.is_dir():
                self._folder(path, _above(path) if above is None else above)
            elif _leads_nowhere(path) and not named and not path.suffix:  # perhaps a folder, or a part as Hive names it
                self._nowhere(path)
            elif _leads_nowhere(path):
                self._keep(path, is_one=named or self._is_called_so(path))
            else:
                self._keep(path, is_one=path.is_file() and (named or self._is_one(path)))
        except OSError as error:
            self._unseen(path, error)

    def expand(self, base: Path, parts: Sequence[str]) -> None:
        """All that a pattern matches below a folder.

        A part that names an existing file or folder is that name, no pattern. Links are followed. ``**`` stands for any
        number of folders.
        """
        part, rest = parts[0], parts[1:]
        if not is_pattern(part) or os.path.lexists(base / part):
            if rest:
                self.expand(base / part, rest)
            elif os.path.lexists(base / part):
                self.visit(base / part, named=True)
        elif part == "**":
            for folder in self._folders(base):
                self.expand(folder, rest or ["*"])
        else:
            for name in self._names(base, shown=part[0] in "._"):
                if fnmatch(name, part):
                    self._matched(base / name, part, rest)

    def _matched(self, path: Path, part: str, rest: Sequence[str]) -> None:
        if not rest:
            ending = part.rpartition(".")[2]
            self.visit(path, named="." in part and not is_pattern(ending))
        elif path.is_dir():
            self.expand(path, rest)
        elif _leads_nowhere(path):
            self._nowhere(path)

    def _folders(self, folder: Path, above: Folders | None = None) -> Iterator[Path]:
        """A folder and all folders below it."""
        inside = self._inside(folder, _above(folder) if above is None else above)
        yield folder
        for name in self._names(folder) if inside else ():
            if (folder / name).is_dir():
                yield from self._folders(folder / name, inside)
            elif _leads_nowhere(folder / name) and not Path(name).suffix:
                self._nowhere(folder / name)

    def _folder(self, folder: Path, above: Folders) -> None:
        inside = self._inside(folder, above)
        for name in self._names(folder) if inside else ():
            self.visit(folder / name, inside)
        if self._is_called_so(folder) and inside and not any(folder in path.parents for path in self.files):
            self.files.add(folder)

    def _inside(self, folder: Path, above: Folders) -> Folders:
        """The folders above those in this folder; none if the folder is one of those above it."""
        number = _number(folder)
        if number in above:
            self.problems.append(f"{folder} is a link to a folder above it; remove the link")
            return ()
        return *above, number

    def _names(self, folder: Path, *, shown: bool = False) -> list[str]:
        """The names in a folder that readers of tables look at, in order."""
        try:
            names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        except OSError as error:
            self._unseen(folder, error)
            return []
        if (problem := table_problem(folder, names)) is not None:
            self.problems.append(problem)
            return []
        wanted = [name for name in names if shown or not is_hidden(name)]
        self.has_hidden |= len(wanted) < len(names)
        return [name for name in wanted if name not in _OURS]

    def _is_one(self, path: Path) -> bool:
        return self._is_called_so(path) or (not path.suffix and holds_parquet(path))

    def _keep(self, path: Path, *, is_one: bool) -> None:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            self.problems.append(f"{str(path)!a} is no name in UTF-8; rename it")
        else:
            (self.files if is_one else self.left_out).add(path)

    def _nowhere(self, path: Path) -> None:
        self.problems.append(f"{path} is a link to nothing ({path.readlink()}); mount its disk, or mend or remove it")

    def _unseen(self, path: Path, error: OSError) -> None:
        self.problems.append(f"{path} cannot be looked into ({error.strerror}); let this user read it, or remove it")


def _number(folder: Path) -> tuple[int, int]:
    """The one number of a folder, whatever path leads to it."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _leads_nowhere(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _above(folder: Path) -> Folders:
    return tuple(map(_number, folder.resolve().parents))


def _is_called_so(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS)
