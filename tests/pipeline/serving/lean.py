"""The server of `gradops serve` in a thread of the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.serving.lean_server import LeanServer, Listener


@contextmanager
def lean_serving(server: LeanServer) -> Iterator[str]:
    """The address of the server, while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        running = Listener(server, lambda: None)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [free]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{free.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join()
