"""Checks of a tracking store of local files, made without importing MLflow."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.doctor.finding import Finding
from pipeline.tracking.sqlite_store import sqlite_file
from pipeline.tracking.store import store_uri


def examine_new_store() -> list[Finding]:
    """Findings on a SQLite store that the first run will make; none if it exists or the store is of another kind."""
    uri = store_uri()
    file = sqlite_file(uri)
    if file is None or file.exists():
        return []
    return [Finding("tracking store", True, f"{uri}, made by the first run"), examine_artifacts_of(file)]


def examine_artifacts_of(file: Path) -> Finding:
    """Check the artifact folder next to a SQLite store."""
    return examine_artifact_folder(file.parent / "mlartifacts")


def examine_artifact_folder(folder: Path) -> Finding:
    """Check that artifacts can be written to a folder, which may still have to be made."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK):
        return Finding("artifacts", True, str(folder))
    fix = "let this user write there, or start the server with --artifacts-destination: files then go through it"
    return Finding("artifacts", False, f"{folder} cannot be written by this user on this machine", fix)
