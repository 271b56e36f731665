"""A SQLite tracking store: its tables are made by one process at a time, and a store left half made is recognised."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock

from features.errors import InputError

# MLflow's migrations copy a table under a name with this beginning and rename it in the end.
_UNFINISHED = "_alembic_tmp_"
_OURS = frozenset({"runs", "alembic_version"})
_PATIENCE = 10.0  # seconds without a change of the file after which nobody is at work on it


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite store; None for another kind of store."""
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]) if uri.startswith("sqlite:///") else None


def make_tables(file: Path, make: Callable[[], object]) -> None:
    """Make the tables of a store that has none, while other commands wait.

    Two processes that make them at the same time destroy the file: MLflow's migrations have no lock of their own.

    Args:
        file: The store's file, which may not exist yet.
        make: Makes the tables, as MLflow does when it is first asked.

    Raises:
        InputError: If the store was left half made, or the file is no SQLite database.
    """
    if _is_whole(file) and not os.access(file.parent, os.W_OK):
        return  # nobody makes tables in a folder that takes no files
    file.parent.mkdir(parents=True, exist_ok=True)
    # A store that looks whole is waited for, too: between two migrations it has a revision and no unfinished table.
    with FileLock(f"{file}.lock"):
        if not _tables(file):
            make()
        if problem := half_made(file):
            raise InputError(f"{problem}; {REMEDY}")


REMEDY = (
    "move the file away and run the command again: it makes a new store and records there what was trained; "
    "registered models and aliases are in the old file alone"
)


def half_made(file: Path) -> str:
    """The sentence that a store was left half made; empty if it is whole, or has no tables yet.

    A store that another program is changing at this moment is waited for.
    """
    while _tables(file) and not _is_whole(file):
        if time.time() - file.stat().st_mtime > _PATIENCE:
            return f"{file} was left half made by a process that was stopped, or by two that made its tables at once"
        time.sleep(0.5)
    return ""


def _is_whole(file: Path) -> bool:
    """Whether MLflow's tables are there, and its migrations went well."""
    tables = _tables(file)
    unfinished = any(name.startswith(_UNFINISHED) for name in tables)
    return bool(tables) and not unfinished and _revisions(file, tables) == 1


def _tables(file: Path) -> list[str]:
    """The tables of a file in which MLflow has begun; none in one of other programs alone."""
    tables = [str(name) for (name,) in _rows(file, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    return tables if _OURS.intersection(tables) else []


def _revisions(file: Path, tables: list[str]) -> int:
    """The number of revisions that migrations have noted: one if they went well."""
    return len(_rows(file, "SELECT * FROM alembic_version")) if "alembic_version" in tables else 0


def _rows(file: Path, query: str) -> list[tuple[object, ...]]:
    """The rows of a query; none without a file, or while another process keeps it locked."""
    if not file.exists():
        return []
    try:
        connection = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()
    except sqlite3.OperationalError:
        return []
    except sqlite3.DatabaseError as error:
        fix = "move it away, or name another file in MLFLOW_TRACKING_URI"
        raise InputError(f"{file} is no SQLite database ({error}); {fix}") from error
