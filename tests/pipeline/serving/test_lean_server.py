"""What our server has beside scores: its state, its counts, its refusals, and another model without a lost request."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from pipeline.registry.packaging import fetched
from pipeline.serving.answers import Answers
from pipeline.serving.capacity import Capacity
from pipeline.serving.lean_server import LeanServer
from pipeline.serving.scorer import Scorer
from tests.pipeline.serving.conftest import Models
from tests.pipeline.serving.lean import lean_serving
from tests.pipeline.serving.model_server import asked, scores, wait
from tests.pipeline.serving.test_http_server import ROW


@pytest.fixture
def scorer(models: Models) -> Scorer:
    with fetched(models("plain").uri) as folder:
        return Scorer.load(folder)


@pytest.fixture
def server(scorer: Scorer) -> LeanServer:
    return LeanServer(scorer, {"version": 1}, Capacity(at_once=2, waiting=2))


@pytest.fixture
def address(server: LeanServer) -> Iterator[str]:
    with lean_serving(server) as found:
        yield found


def got(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address + path, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_its_state_and_its_counts(address: str) -> None:
    assert got(address, "/health") == (200, '{"status": "ok"}')
    assert got(address, "/version") == (200, '{"version": 1}')
    asked(address, {"inputs": [ROW, {**ROW, "item": 10**12, "tags": ["unheard of"]}]})
    asked(address, b"{")
    text = got(address, "/metrics")[1]
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert found['gradops_requests_total{status="200"}'] == found['gradops_requests_total{status="400"}'] == "1"
    assert found["gradops_rows_total"] == "2"
    assert found["gradops_unseen_values_total"] == "2"
    assert int(found["gradops_values_total"]) > 10
    assert found["gradops_request_seconds_count"] == found['gradops_request_seconds_bucket{le="+Inf"}'] == "2"
    assert got(address, "/nowhere")[0] == 404
    assert got(address, "/invocations")[0] == 405


def test_requests_beyond_the_limit_are_refused_at_once(
    address: str, server: LeanServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, going = threading.Semaphore(0), threading.Event()
    own = Answers.__call__

    def slow(self: Answers, *args: Any) -> Any:
        begun.release()
        assert going.wait(60)
        return own(self, *args)

    monkeypatch.setattr(Answers, "__call__", slow)
    answers: list[tuple[int, Any]] = []
    ask = [threading.Thread(target=lambda: answers.append(asked(address, {"inputs": [ROW]}))) for _ in range(2)]
    for one in ask:
        one.start()
    # At least one is worked on; the other may wait for a core.
    begun.acquire()
    end = time.monotonic() + 60
    while server.accepted < 2 and time.monotonic() < end:
        time.sleep(0.01)
    status, content = asked(address, {"inputs": [ROW]})
    assert (status, content["message"]) == (
        503,
        "as many requests as the server takes are in progress; ask again in a moment",
    )
    # A body that does not fit into the buffers of a connection: its sender reads the refusal, too.
    assert asked(address, {"inputs": [{**ROW, "user": "x" * 12_000_000}]})[0] == 503
    going.set()
    for one in ask:
        one.join()
    assert [status for status, _ in answers] == [200, 200]
    assert asked(address, {"inputs": [ROW]})[0] == 200


def test_another_model_takes_over(address: str, server: LeanServer, scorer: Scorer) -> None:
    server.replace(replace(scorer, tasks=("bought", "wished")), {"version": 2})
    assert list(asked(address, {"inputs": [ROW]})[1]["predictions"][0]) == ["bought", "wished"]
    assert got(address, "/version") == (200, '{"version": 2}')


@pytest.mark.slow
def test_the_command_follows_the_alias_and_ends_in_order(models: Models, tmp_path: Path) -> None:
    model = models("plain")
    uri, name = f"models:/{model.config.name}@moving", model.config.name
    client = MlflowClient()
    client.set_registered_model_alias(name, "moving", "1")
    client.copy_model_version(f"models:/{name}/1", name)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jobs", "serve", uri, "--port", str(port), "--follow", "0.5"]
    command += ["--tables", "int8", "--sample", "sample", "--share", "1.0"]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ, cwd=tmp_path)
    address = f"http://127.0.0.1:{port}"
    try:
        wait(address, tmp_path)
        expected = scores(asked(address, {"inputs": [ROW]}))
        for version in (2, 1, 2):
            client.set_registered_model_alias(name, "moving", str(version))
            end = time.monotonic() + 60
            while (about := json.loads(got(address, "/version")[1]))["version"] != version:
                assert time.monotonic() < end
                assert (scores(asked(address, {"inputs": [ROW]})) == expected).all()
            assert about["tables"] == "int8", "of every version"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert [*(tmp_path / "sample").glob("rows-*.parquet")], "the rows of the last minutes are written at the end"
    finally:
        process.kill()
