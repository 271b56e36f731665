"""The server of `gradops serve`: the answers of `mlflow models serve`, without the layers between."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn

from pipeline.serving.answers import JSON, Answer, Answers
from pipeline.serving.capacity import Capacity
from pipeline.serving.listening import unable
from pipeline.serving.metrics import Metrics
from pipeline.serving.requests import Limits, too_large
from pipeline.serving.sample.live import LiveSample
from pipeline.serving.scorer import Scorer

Message = MutableMapping[str, Any]
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
# A body that is dropped: to close its connection unread would reset it, and its sender would see no answer.
_NO_BODY = Limits(size=0, rows=0)
_BODY_SECONDS, _STOP_SECONDS, _IDLE_SECONDS = 30, 30, 75


class LeanServer:
    """An ASGI application.

    ``POST /invocations`` scores; ``GET`` answers ``/health`` and ``/ping``, ``/version`` and ``/metrics``.

    Args:
        scorer: The model.
        about: What ``/version`` says.
        capacity: How many requests it takes at a time; by default those of all cores.
        metrics: Counts its requests; by default they are counted for it alone.
        sample: A sample of the scored rows is given to it; None for no sample.

    Raises:
        InputError: If the environment has limits of requests that are no numbers.
    """

    def __init__(
        self,
        scorer: Scorer,
        about: Mapping[str, Any],
        capacity: Capacity | None = None,
        metrics: Metrics | None = None,
        sample: LiveSample | None = None,
    ) -> None:
        capacity = capacity or Capacity.of()
        self._limits = Limits.of(os.environ)
        self._answers = Answers(scorer, self._limits, sample)
        self._about, self._waiting, self.accepted = about, capacity.waiting, 0
        self._metrics = metrics or Metrics()
        self._pool = ThreadPoolExecutor(capacity.at_once, thread_name_prefix="score")

    def replace(self, scorer: Scorer, about: Mapping[str, Any]) -> None:
        """Answer later requests by another model; requests in progress are finished by theirs."""
        self._answers.scorer, self._about = scorer, about

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        answer, kind = await self._answer(scope, receive)
        content = answer.content.encode()
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(content)).encode())]
        if answer.status == 503:
            headers.append((b"retry-after", b"1"))
        if answer.status == 408:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, scope: Mapping[str, Any], receive: Callable[[], Awaitable[Message]]) -> tuple[Answer, str]:
        method, path = scope["method"], scope["path"]
        if path == "/invocations":
            if method != "POST":
                return Answer.error(405, f"{path} is asked by POST, found {method}"), JSON
            return await self._scores(dict(scope["headers"]), receive), JSON
        if path == "/metrics":
            return Answer(200, self._metrics.text()), _TEXT
        if path in ("/health", "/ping"):
            return Answer(200, json.dumps({"status": "ok"})), JSON
        if path == "/version":
            return Answer(200, json.dumps(self._about)), JSON
        return Answer.error(404, "there are POST /invocations, and GET /health, /version and /metrics"), JSON

    async def _scores(self, headers: Mapping[bytes, bytes], receive: Callable[[], Awaitable[Message]]) -> Answer:
        if self.accepted >= self._waiting:
            await _body(headers, receive, _NO_BODY)
            answer = Answer.error(503, "as many requests as the server takes are in progress; ask again in a moment")
            self._metrics.count(answer, None)
            return answer
        self.accepted += 1
        try:
            body = await _body(headers, receive, self._limits)
            started = time.perf_counter()
            if isinstance(body, Answer):
                answer = body
            else:
                kind = headers.get(b"content-type", b"").decode("latin-1") or None
                loop = asyncio.get_running_loop()
                answer = await loop.run_in_executor(self._pool, self._answers, body, kind)
            self._metrics.count(answer, time.perf_counter() - started)
            return answer
        finally:
            self.accepted -= 1


async def _body(
    headers: Mapping[bytes, bytes], receive: Callable[[], Awaitable[Message]], limits: Limits
) -> bytes | Answer:
    """A request's body, or the answer to one that is too large or too slow; never more than a body may have is held."""
    told = headers.get(b"content-length", b"")
    size = int(told) if told.isdigit() else 0
    parts: list[bytes] = []
    read = 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while True:
                message = await receive()
                part = message.get("body", b"")
                read += len(part)
                # The rest of a body that is too large is read and dropped: its sender reads no answer before its end.
                if max(read, size) <= limits.size:
                    parts.append(part)
                else:
                    parts.clear()
                if not message.get("more_body"):
                    break
    except TimeoutError:
        return Answer.error(408, f"the request's body did not come within {_BODY_SECONDS} seconds")
    return Answer.error(400, too_large(read, limits)) if read > limits.size else b"".join(parts)


def serve(server: LeanServer, sockets: Sequence[socket.socket], ready: Callable[[], None]) -> None:
    """Answer requests until SIGTERM or Ctrl-C, then finish those in progress.

    Args:
        server: The server.
        sockets: Where it listens; see :func:`pipeline.serving.listening.bound_sockets`.
        ready: Called once it listens.

    Raises:
        InputError: If the port has been taken meanwhile.
    """
    # Uvicorn raises the signal that has stopped it again: the end in order is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    Listener(server, ready).run([*sockets])


class Listener(uvicorn.Server):
    """The process's side of the server: connections, and the protocol.

    Args:
        server: The server.
        ready: Called once it listens.
    """

    def __init__(self, server: LeanServer, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                server,
                lifespan="off",
                access_log=False,
                log_level="warning",
                timeout_graceful_shutdown=_STOP_SECONDS,
                timeout_keep_alive=_IDLE_SECONDS,
            )
        )
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        assert sockets
        try:
            await super().startup(sockets)
        except OSError as error:
            host, port, *_ = sockets[0].getsockname()
            raise unable(host, port, error) from None
        self._ready()
