"""Scores over HTTP: `gradops serve models:/census@champion --port 8080`."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version as package_version
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.console import AsJson, announced, err, show
from jobs.only_config import only_champion
from jobs.sampling import MEGABYTES, SHARE, Megabytes, Sample, Share
from jobs.table_precision import Tables, tables_notes
from models.embedding.precisions import FLOAT32, Precision

if TYPE_CHECKING:
    from pipeline.serving.scorer import Scorer
    from pipeline.serving.workers import Place


# What a server says once it listens: what `/version` says, and notes on its tables.
_Ready = tuple[dict[str, Any], list[str]]


@dataclass(frozen=True)
class _Options:
    """What every worker has to know; see :func:`main`."""

    model: str
    threads: int
    waiting: int | None
    workers: int
    follow: float
    sample: tuple[Path, float, int] | None
    tables: Precision


def main(
    model: Annotated[
        str,
        typer.Argument(
            help="models:/NAME@ALIAS, which is followed; models:/NAME/VERSION, another model URI, or a folder.",
            default_factory=only_champion,
            show_default="the champion of the only config in this folder",
            callback=announced("model"),
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 for any that is free.", min=0, max=65535)] = 8080,
    workers: Annotated[int, typer.Option(help="Processes that answer, each with the model in memory.", min=1)] = 1,
    threads: Annotated[int, typer.Option(help="Threads of a network's products, in each process.", min=1)] = 1,
    waiting: Annotated[
        int | None,
        typer.Option(
            help="Requests in progress or waiting, in equal shares of all processes; further ones get a 503.",
            min=1,
            show_default="8 a core",
        ),
    ] = None,
    follow: Annotated[float, typer.Option(help="Seconds between two looks at the alias.", min=0.1)] = 10.0,
    sample: Sample = None,
    share: Share = SHARE,
    sample_megabytes: Megabytes = MEGABYTES,
    tables: Tables = FLOAT32,
    as_json: AsJson = False,
) -> None:
    """Serve a registered model over HTTP: POST /invocations, GET /health, /version and /metrics."""
    from pipeline.serving.listening import bound_sockets, url
    from pipeline.serving.workers import run_workers

    sampling = None if sample is None else (sample, share, sample_megabytes << 20)
    options = _Options(model, threads, waiting, workers, follow, sampling, tables)
    with bound_sockets(host, port) as sockets:
        address = url(host, sockets[0].getsockname()[1])

        def ready(message: _Ready) -> None:
            about, notes = message
            several = f" by {workers} processes" if workers > 1 else ""
            said = "; ".join([f"{model} is served at {address}{several}", *notes])
            show(said, about | {"address": address, "workers": workers}, as_json)
            sys.stdout.flush()  # the command goes on, and a pipe is waiting

        if workers == 1:
            _serve(options, sockets, ready)
        else:
            run_workers(_work, (options,), workers, sockets, ready)


def _work(connection: Connection, place: Place, options: _Options) -> None:
    """Main function of a worker's process."""
    atexit.register(gc.freeze)  # as in `jobs.cli`, which a worker does not import
    _serve(options, place.sockets, connection.send, place)


def _serve(
    options: _Options,
    sockets: Sequence[socket],
    ready: Callable[[_Ready], None],
    place: Place | None = None,
) -> None:
    """Serve in this process."""
    import torch

    from pipeline.registry.following import follow, load_version
    from pipeline.serving.capacity import Capacity
    from pipeline.serving.lean_server import LeanServer, serve
    from pipeline.serving.sample.live import LiveSample
    from pipeline.tracking.connection import require_store

    torch.set_num_threads(options.threads)
    model = options.model
    with require_store("nothing is served; give the command again once it is back"):
        scorer, number = load_version(model, options.tables)
    about, notes = _about(model, scorer, number), tables_notes(scorer, options.tables)
    sampled = LiveSample(*options.sample) if options.sample else None
    capacity = Capacity.of(options.waiting, options.workers)
    server = LeanServer(scorer, about, capacity, place.metrics if place else None, sampled)
    del scorer  # it would stay in memory after the alias has moved

    def moved(scorer: Scorer, number: int | None) -> None:
        server.replace(scorer, _about(model, scorer, number))
        by = f"{place}: " if place else ""
        said = "; ".join([f"{by}{model} is version {number} now", *tables_notes(scorer, options.tables)])
        err.print(said, highlight=False)

    follow(model, number, options.follow, moved, options.tables)
    serve(server, sockets, lambda: ready((about, notes)))
    if sampled is not None:
        sampled.close()


def _about(model: str, scorer: Scorer, number: int | None) -> dict[str, Any]:
    return {
        "model": model,
        "version": number,
        "digest": scorer.digest,
        "outputs": list(scorer.outputs),
        "tables": scorer.tables,
        "gradops": package_version("gradops"),
    }
