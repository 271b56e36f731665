"""Servers in processes of their own, at the last core, and what they use."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(command: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The port of a server and its process, while the block runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(own)})  # which the server inherits
    with Path("server.log").open("w") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", *command, "--port", str(port)],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PATH": path, "PYTHONPATH": ""},
        )
    try:
        while not _answers(port):
            if started.poll() is not None:
                raise SystemExit(Path("server.log").read_text()[-3000:])
            time.sleep(0.2)
        children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        os.sched_setaffinity(0, {min(own)})
        yield port, int(children[0]) if children else started.pid
    finally:
        os.sched_setaffinity(0, own)
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def cpu_seconds(process: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(process: int) -> float:
    """Resident memory of a process in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
