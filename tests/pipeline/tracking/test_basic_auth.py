"""A real MLflow server on a real PostgreSQL, with basic auth and artifacts through the server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.tracking.store import connect
from tests.conftest import ROLES, ROOT
from tests.pipeline.postgres import postgres_url
from tests.pipeline.server import Server

ADMIN, PASSWORD = "admin", "Adm1n-s3cret-of-many-letters"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    yield from postgres_url()


@pytest.fixture(scope="module")
def server(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("auth")
    config = "[mlflow]\ndefault_permission = NO_PERMISSIONS\nadmin_username = admin\n"
    config += f"database_uri = sqlite:///{folder}/users.db\n"
    config += "auth_cache_ttl_seconds = 60\n"  # a password's hash takes longer than a request
    config += "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    (folder / "auth.ini").write_text(config)
    environment = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a-secret-of-the-tests",
    }
    started = Server(folder, postgres, ("--app-name", "basic-auth", "--serve-artifacts"), environment)
    started.start()
    yield started
    started.kill()


def gradops(server: Server, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    overrides = [f"data.{role}={ROOT}/tests/data/census/{file}.parquet" for role, file in ROLES.items()]
    options = [part for override in (*overrides, "compare.boosting=false") for part in ("--set", override)]
    if arguments[0] != "doctor":
        arguments = (arguments[0], str(ROOT / "configs" / "debug.toml"), *options, *arguments[1:])
    command = [sys.executable, "-c", "from jobs.cli import app; app()", *arguments]
    own = {"MLFLOW_TRACKING_URI": server.uri, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return subprocess.run(command, env=os.environ | own | environment, capture_output=True, text=True, check=False)


def test_a_comparison_is_recorded_and_registered_behind_a_password(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = {"MLFLOW_TRACKING_USERNAME": ADMIN, "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    # The first with the password in the URL: that is no place for one, but people put it there.
    inside = f"http://{ADMIN}:{PASSWORD}@127.0.0.1:{server.port}"
    outputs = [gradops(server, "train", "--set", "train.method=uniform", MLFLOW_TRACKING_URI=inside)]
    outputs.append(gradops(server, "doctor", **login))
    outputs.append(gradops(server, "compare", "--methods", "uniform", **login))
    for done in outputs:
        assert done.returncode == 0, done.stderr
        assert PASSWORD not in done.stdout + done.stderr
    assert "champion → version 1" in outputs[-1].stdout
    assert "through the server" in outputs[1].stdout
    for name, value in (login | {"MLFLOW_TRACKING_URI": server.uri}).items():
        monkeypatch.setenv(name, value)
    client = connect()
    version = client.get_model_version_by_alias("debug", "champion")
    assert version.run_id is not None
    run = client.get_run(version.run_id)
    assert run.info.artifact_uri is not None
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    assert {file.path for file in client.list_artifacts(version.run_id)} >= {"result.json", "config.json"}
    assert list((server.folder / "artifacts").rglob("weights.safetensors")), "artifacts go through the server"
    for path in Path.cwd().rglob("*"):
        assert path.is_dir() or PASSWORD.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("command", ["train", "compare", "search"])
def test_a_wrong_password_is_one_error(server: Server, command: str) -> None:
    wrong = {"MLFLOW_TRACKING_USERNAME": ADMIN, "MLFLOW_TRACKING_PASSWORD": "n0t-the-password"}
    done = gradops(server, command, **wrong)
    assert done.returncode == 2, done.stderr
    assert "does not let us in" in done.stderr
    assert "MLFLOW_TRACKING_PASSWORD" in done.stderr
    assert "Traceback" not in done.stderr
    assert "n0t-the-password" not in done.stdout + done.stderr


def test_the_doctor_names_a_wrong_password(server: Server) -> None:
    done = gradops(server, "doctor", "--json", MLFLOW_TRACKING_USERNAME=ADMIN, MLFLOW_TRACKING_PASSWORD="n0t-it")
    assert done.returncode == 1
    assert "MLFLOW_TRACKING_PASSWORD" in done.stdout
    assert "n0t-it" not in done.stdout + done.stderr
