"""`mlflow models serve` in its own process, and requests to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torchrec", "fbgemm_gpu", "optuna", "gradops", "sklearn", "scipy"}:
            raise ModuleNotFoundError(f"no module named {name}", name=name)
sys.meta_path.insert(0, Absent())
"""


@contextmanager
def serving(uri: str, folder: Path) -> Iterator[str]:
    """The address of a model's server, while the block runs; neither torchrec nor fbgemm can be imported in it."""
    (folder / "absent").mkdir(parents=True)
    (folder / "absent" / "sitecustomize.py").write_text(ABSENT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"PYTHONPATH": str(folder / "absent"), "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    own |= {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local", "-p", str(port)]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **own}, stdout=log, stderr=log, start_new_session=True, cwd=folder
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait(address: str, folder: Path) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{address}/ping", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError((folder / "server.log").read_text()[-3000:])


def asked(address: str, body: bytes | dict[str, Any], kind: str = "application/json") -> tuple[int, Any]:
    """Status and content of an answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/invocations", data, {"Content-Type": kind} if kind else {})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def records(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as a caller writes them: numbers, text, lists, ISO times, null."""
    found: list[dict[str, Any]] = json.loads(json.dumps(rows.to_dicts(), default=lambda value: value.isoformat()))
    return found


def scores(answer: tuple[int, Any]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    status, content = answer
    assert status == 200, content
    return np.array([list(row.values()) for row in content["predictions"]])
