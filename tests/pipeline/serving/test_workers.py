"""Several processes at one port: no request is lost, counts are summed, and one that dies is started again."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from features.errors import InputError
from pipeline.serving import capacity
from pipeline.serving.answers import Answer
from pipeline.serving.capacity import Capacity
from pipeline.serving.counted import Counted
from pipeline.serving.listening import bound_sockets, url
from pipeline.serving.metrics import COUNTS, Metrics
from tests.pipeline.serving.conftest import Models
from tests.pipeline.serving.model_server import asked, scores
from tests.pipeline.serving.test_http_server import ROW


def test_counts_are_those_of_all_workers_whichever_is_asked() -> None:
    counts_WK = np.zeros((2, COUNTS))
    one, other = Metrics(counts_WK, 0), Metrics(counts_WK, 1)
    one.count(Answer(200, "", Counted(rows=3, values=30, unseen=2)), 0.002)
    other.count(Answer(200, "", Counted(rows=4, values=40, unseen=1)), 0.7)
    other.count(Answer.error(503, "full"), 0.0)
    assert one.text() == other.text()
    found = dict(line.rsplit(" ", 1) for line in one.text().splitlines() if not line.startswith("#"))
    assert (found["gradops_rows_total"], found["gradops_values_total"], found["gradops_unseen_values_total"]) == (
        "7",
        "70",
        "3",
    )
    assert found['gradops_requests_total{status="200"}'] == "2"
    assert found['gradops_requests_total{status="503"}'] == "1"
    assert found['gradops_request_seconds_bucket{le="0.001"}'] == "1"
    assert found['gradops_request_seconds_bucket{le="1.0"}'] == found["gradops_request_seconds_count"] == "3"
    assert float(found["gradops_request_seconds_sum"]) == pytest.approx(0.702)


@pytest.mark.parametrize(
    ("waiting", "workers", "cores", "expected"),
    [
        (None, 1, 2, Capacity(2, 16)),
        (None, 2, 2, Capacity(1, 8)),
        (None, 3, 2, Capacity(1, 6)),
        (64, 1, 8, Capacity(8, 64)),
        (10, 4, 8, Capacity(2, 3)),
    ],
)
def test_a_workers_share_of_what_a_server_takes(
    waiting: int | None, workers: int, cores: int, expected: Capacity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "available_cores", lambda: cores)
    assert Capacity.of(waiting, workers) == expected


def test_a_port_is_held_and_not_open_before_the_server_is_ready() -> None:
    with bound_sockets("127.0.0.1", 0) as (one,):
        port = one.getsockname()[1]
        assert port > 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        one.listen()
        taken = rf"cannot listen at http://127\.0\.0\.1:{port} \(.*in use\); give another"
        with pytest.raises(InputError, match=taken), bound_sockets("127.0.0.1", port):
            pass
    # An address that is kept for documents, and a name with an empty part.
    for host in ("203.0.113.7", "a..b"):
        with pytest.raises(InputError, match="or another `--host`"), bound_sockets(host, 0):
            pass
    assert url("::1", 80) == "http://[::1]:80"


def test_small_answers_are_sent_at_once() -> None:
    async def accepted(one: socket.socket) -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def look(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            found.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(look, sock=one):
            _, writer = await asyncio.open_connection(*one.getsockname())
            writer.close()
            return await found

    with bound_sockets("127.0.0.1", 0) as (one,):
        assert asyncio.run(accepted(one)) == 1


@contextmanager
def command(uri: str, folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`gradops serve`, and the address that it prints once it is ready."""
    words = [sys.executable, "-m", "jobs", "serve", uri, "--port", "0", "--follow", "0.5", *options]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r" is served at (http://\S+)", line)
        assert found, line + (folder / "server.log").read_text()
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


def children(process: subprocess.Popen[str]) -> list[int]:
    """The processes of the workers."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(one) for one in found if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]


def got(address: str, path: str) -> str:
    with urllib.request.urlopen(address + path, timeout=60) as answer:
        return str(answer.read().decode())


@pytest.mark.slow
def test_workers_share_a_port_and_one_that_dies_is_started_again(models: Models, tmp_path: Path) -> None:
    model = models("plain")
    uri, name = f"models:/{model.config.name}@by_workers", model.config.name
    client = MlflowClient()
    client.set_registered_model_alias(name, "by_workers", "1")
    client.copy_model_version(f"models:/{name}/1", name)
    with command(uri, tmp_path, "--workers", "2") as (process, address):
        before = children(process)
        assert len(before) == 2
        expected = scores(asked(address, {"inputs": [ROW]}))
        for _ in range(20):
            assert (scores(asked(address, {"inputs": [ROW]})) == expected).all()
        for _ in range(5):
            assert 'gradops_requests_total{status="200"} 21\n' in got(address, "/metrics")

        os.kill(before[0], signal.SIGKILL)
        end = time.monotonic() + 180
        while "worker 1 of 2 answers again" not in (tmp_path / "server.log").read_text():
            assert time.monotonic() < end
            assert (scores(asked(address, {"inputs": [ROW]})) == expected).all()
        assert len(children(process)) == 2
        assert "worker 1 of 2 has ended and is started again" in (tmp_path / "server.log").read_text()

        client.set_registered_model_alias(name, "by_workers", "2")
        seen: list[int] = []
        while seen[-20:] != [2] * 20:
            assert time.monotonic() < end + 60
            seen.append(json.loads(got(address, "/version"))["version"])

        answers = []
        many = {"inputs": [ROW] * 10_000}
        ask = [threading.Thread(target=lambda: answers.append(asked(address, many)[0])) for _ in range(2)]
        for one in ask:
            one.start()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        for one in ask:
            one.join()
        assert answers == [200, 200]
        assert process.wait(60) == 0


@pytest.mark.slow
def test_a_model_that_is_not_there_ends_all_workers_with_one_message(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "jobs", "serve", "models:/none@champion", "--port", "0", "--workers", "2"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=180, check=False)
    assert done.returncode == 2
    assert done.stderr.count("error:") == 1
    assert "none" in done.stderr
    assert "Traceback" not in done.stderr
