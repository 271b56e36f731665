"""A tracking store of files on this machine: answered for without MLflow."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.doctor.finding import Finding
from pipeline.tracking.store import store_uri


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite store; None for another kind of store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def examine_new_store() -> list[Finding]:
    """Findings of a SQLite store that the first run is to make; none if the store is another or is there."""
    uri = store_uri()
    file = sqlite_file(uri)
    if file is None or file.exists():
        return []
    return [Finding("tracking store", True, f"{uri}, made by the first run"), examine_artifacts_of(file)]


def examine_artifacts_of(file: Path) -> Finding:
    """Check the folder of artifacts beside a SQLite store."""
    return examine_artifact_folder(file.parent / "mlartifacts")


def examine_artifact_folder(folder: Path) -> Finding:
    """Check that artifacts can be written to a folder, which need not be there yet."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK):
        return Finding("artifacts", True, str(folder))
    fix = "let this user write there, or start the server with --artifacts-destination: files then go through it"
    return Finding("artifacts", False, f"{folder} cannot be written by this user on this machine", fix)
