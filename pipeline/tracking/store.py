"""The tracking store: its URI, and a client for it."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from features.errors import InputError
from pipeline.files.redaction import without_passwords
from pipeline.tracking.sqlite_store import make_tables, sqlite_file

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DEFAULT_STORE = "sqlite:///mlflow.db"


def store_uri() -> str:
    """The URI in ``MLFLOW_TRACKING_URI``; without it a SQLite file in the working folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE


def redacted_store_uri() -> str:
    """The store's URI without passwords, to be printed and logged."""
    return without_passwords(store_uri())


def connect() -> MlflowClient:
    """A client of the tracking store. The tables of a new SQLite store are made here, by one process at a time.

    Raises:
        InputError: If the store is a folder of files, or a SQLite file that was left half made.
    """
    uri = store_uri()
    _check_kind(uri)
    import mlflow  # takes seconds, so that callers who only need the store's URI do without it
    from mlflow.tracking import MlflowClient

    for chatty in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # it has passwords, and spoils --json
    mlflow.set_tracking_uri(uri)
    if (file := sqlite_file(uri)) is not None:
        make_tables(file, MlflowClient)
    return MlflowClient()


def restoring(experiment: str) -> str:
    """The way out where an experiment, named by its id, was deleted."""
    return f"restore it with `mlflow experiments restore -x {experiment}`, or choose another `name`"


def _check_kind(uri: str) -> None:
    """Refuse a folder of files, unless MLflow itself was told to take one."""
    is_folder = uri.startswith("file:") or not (":" in uri or uri.startswith("databricks"))
    if is_folder and os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
        rule = "MLflow takes a folder of files as a store no longer"
        fix = "unset it for sqlite:///mlflow.db, or name a database or a server; `mlflow migrate-filestore` moves runs"
        raise InputError(f"MLFLOW_TRACKING_URI={uri}: {rule}; {fix}")
