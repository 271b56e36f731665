"""More requests than a server can take: who is refused, how soon, and how long the others wait.

Requests arrive at random moments of a given rate (a Poisson process), whether or not earlier ones have been answered:
clients that wait for their answers would offer no more than the server takes. Each arrival takes an idle connection, or
opens one. Capacity is what four clients get that ask without a pause. Loads take turns in rounds, so that other work on
the machine meets all of them alike.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

CALM, OVERLOADS = 0.7, (2.0, 3.0)
ROUNDS, CLIENTS, WARM_UP = 4, 4, 3.0


def measure_overload(port: int, body: bytes, seconds: float) -> None:
    """Print the times of answers and of refusals, calm and under overload.

    Args:
        port: The server's port.
        body: The request's body.
        seconds: Time for which each load is sent in each round.
    """
    asyncio.run(_measure(port, body, seconds))


@dataclass
class _Client:
    """Sends requests, and keeps how long each answer took by its status."""

    port: int
    request: bytes
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)
    taken: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def ask(self) -> None:
        """Send one request."""
        reader, writer = await self._connection()
        begun = time.perf_counter()
        writer.write(self.request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
        self.taken[int(head.split()[1])].append(time.perf_counter() - begun)
        if b"connection: close" in head:
            writer.close()
        else:
            self.idle.append((reader, writer))

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """An idle connection that the server has not closed, or a new one."""
        while self.idle:
            reader, writer = self.idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def without_pause(self, seconds: float) -> None:
        """Send one request after another."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            await self.ask()

    async def at_rate(self, rate: float, seconds: float, draw: np.random.Generator) -> None:
        """Send requests at random moments, ``rate`` of them a second in the mean."""
        begun, asked = time.perf_counter(), []
        for moment in np.sort(draw.uniform(0, seconds, draw.poisson(rate * seconds))):
            await asyncio.sleep(begun + moment - time.perf_counter())
            asked.append(asyncio.create_task(self.ask()))
        await asyncio.gather(*asked)


async def _measure(port: int, body: bytes, seconds: float) -> None:
    head = (
        b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    request, draw = head % len(body) + body, np.random.default_rng(0)
    await _Client(port, request).without_pause(WARM_UP)
    clients = {load: _Client(port, request) for load in (CALM, *OVERLOADS)}
    capacities = []
    for _ in range(ROUNDS):
        busy = _Client(port, request)
        await asyncio.gather(*(busy.without_pause(seconds / 2) for _ in range(CLIENTS)))
        capacities.append(len(busy.taken[200]) / (seconds / 2))
        for load, client in clients.items():
            await client.at_rate(load * capacities[-1], seconds, draw)
    print(f"capacity {np.mean(capacities):.0f} requests/s (rounds: {', '.join(f'{one:.0f}' for one in capacities)})")
    print("load: answers/s, share refused; accepted p50 ms, p99, p99 to the calm p99; refused p50 ms, p99; others")
    calm = np.percentile(clients[CALM].taken[200], 99)
    for load, client in clients.items():
        accepted, refused = client.taken.pop(200), client.taken.pop(503, [])
        rate, share = len(accepted) / (seconds * ROUNDS), len(refused) / (len(accepted) + len(refused))
        p50, p99 = np.percentile(accepted, [50, 99]) * 1000
        soon = np.percentile(refused or [np.nan], [50, 99]) * 1000
        others = {status: len(times) for status, times in client.taken.items()}
        print(f"{load:4.1f}: {rate:7.1f} {share:5.2f}; {p50:7.1f} {p99:7.1f} {p99 / calm / 1000:5.2f}", end="; ")
        print(f"{soon[0]:6.2f} {soon[1]:6.2f}; {others}", flush=True)
