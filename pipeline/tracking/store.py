"""The tracking store: its URI, and a client for it."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from pipeline.files.redaction import without_passwords

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
    """A client of the tracking store."""
    import mlflow  # takes seconds, so that callers who only need the store's URI do without it
    from mlflow.tracking import MlflowClient

    for chatty in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # it has passwords, and spoils --json
    mlflow.set_tracking_uri(store_uri())
    return MlflowClient()
