"""Checks of the stores that runs are recorded, registered and searched in, with fixes. Nothing is written."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow.entities import LifecycleStage
from mlflow.store.db.utils import _get_latest_schema_revision
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy.engine import make_url

from pipeline.doctor.finding import Finding
from pipeline.doctor.local_store import examine_artifact_folder, examine_artifacts_of
from pipeline.files.redaction import without_passwords
from pipeline.tracking.connection import error_text, is_refused, short_timeouts
from pipeline.tracking.database import check_database, is_database, revision
from pipeline.tracking.sqlite_store import REMEDY, half_made, sqlite_file
from pipeline.tracking.store import connect, redacted_store_uri, restoring, store_uri

_SECONDS = 5  # the longest wait for one answer


def examine_tracking(experiments: Iterable[str] = ()) -> Iterator[Finding]:
    """Check the tracking store, its registry, its artifacts and the experiments of configs."""
    uri = store_uri()
    with short_timeouts(retries=0, seconds=_SECONDS):
        store = _asked("tracking store", lambda: _database(uri) if is_database(uri) else _server(uri))
        yield store
        if store.ok and not store.found.endswith(_EMPTY):
            yield _asked("model registry", _registry)
            yield _asked("artifacts", _artifacts)
            for name in dict.fromkeys(experiments):
                yield _asked("experiment", partial(_experiment, name))


def examine_studies(urls: Iterable[str]) -> Iterator[Finding]:
    """Check the databases of searches, each once."""
    with short_timeouts(retries=0, seconds=_SECONDS):
        for url in dict.fromkeys(urls):
            yield _asked("study store", partial(_study, url))


_EMPTY = "empty: its tables are made by the first run"


def _asked(subject: str, ask: Callable[[], Finding]) -> Finding:
    """The finding of a check, or the error that stopped it: every kind of store has exceptions of its own."""
    try:
        return ask()
    except Exception as error:
        if is_refused(error):
            fix = "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and the user's permissions there"
        elif subject == "study store":
            fix = "check `search.storage` and the server behind it"
        else:
            fix = "check MLFLOW_TRACKING_URI and the server behind it, or unset it to use sqlite:///mlflow.db here"
        where = "" if subject == "study store" else f"{redacted_store_uri()}: "
        return Finding(subject, False, f"{where}{error_text(error)}", fix)


def _database(uri: str) -> Finding:
    file = sqlite_file(uri)
    if file is not None and (problem := half_made(file)):
        return Finding("tracking store", False, problem, REMEDY)
    check_database(uri)
    found, ours = revision(uri), str(_get_latest_schema_revision())
    if found is None:
        return Finding("tracking store", True, f"{redacted_store_uri()}, {_EMPTY}")
    if found == ours:
        return Finding("tracking store", True, f"{redacted_store_uri()}, tables of MLflow {mlflow.__version__}")
    fix = "back the database up and run `mlflow db upgrade` on it; if a newer MLflow made its tables, install that here"
    return Finding(
        "tracking store", False, f"{redacted_store_uri()}: its tables are of version {found}, this MLflow's {ours}", fix
    )


def _server(uri: str) -> Finding:
    client = connect()  # also limits MLflow's log to errors
    version = http_request(get_default_host_creds(uri), "/version", "GET").text.strip()
    client.search_experiments(max_results=1)
    found = f"{redacted_store_uri()}, MLflow {version[:20]}"
    if version.partition(".")[0] == mlflow.__version__.partition(".")[0]:
        return Finding("tracking store", True, found)
    fix = "install the same major version of MLflow on the server and here"
    return Finding("tracking store", False, f"{found}, but {mlflow.__version__} here", fix)


def _registry() -> Finding:
    connect().search_registered_models(max_results=1)
    return Finding("model registry", True, "answers")


def _experiment(name: str) -> Finding:
    """Check that a config's experiment was not deleted: MLflow takes no runs in one that was."""
    found = connect().get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage != LifecycleStage.ACTIVE:
        return Finding("experiment", False, f"`{name}` is deleted", restoring(found.experiment_id))
    return Finding("experiment", True, name if found else f"{name}, made by the first run")


def _artifacts() -> Finding:
    """Check the place for files of a new experiment, which is that of the default experiment, `0`."""
    file, location = sqlite_file(store_uri()), str(connect().get_experiment("0").artifact_location)
    if file is not None:
        return examine_artifacts_of(file)
    parts = urlsplit(location)
    if parts.scheme == "mlflow-artifacts":
        mlflow.artifacts.list_artifacts(artifact_uri="mlflow-artifacts:/")
        return Finding("artifacts", True, "through the server")
    if parts.scheme in ("", "file"):
        return examine_artifact_folder(Path(unquote(parts.path)))
    return Finding(
        "artifacts", True, f"{without_passwords(location)}, written from here with this machine's own rights"
    )


def _study(url: str) -> Finding:
    if url.startswith("grpc://"):
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname or "localhost", parts.port or 13000), timeout=_SECONDS):
            return Finding("study store", True, without_passwords(url))
    check_database(url)
    return Finding("study store", True, make_url(url).render_as_string())
