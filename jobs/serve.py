"""Scores over HTTP: `gradops serve models:/census@champion --port 8080`."""

from __future__ import annotations

import sys
from importlib.metadata import version as package_version
from typing import Annotated, Any

import typer

from jobs.console import AsJson, err, show
from jobs.only_config import only_champion
from jobs.sampling import MEGABYTES, SHARE, Megabytes, Sample, Share
from jobs.table_precision import Tables, tables_notes
from models.embedding.precisions import FLOAT32


def main(
    model: Annotated[
        str,
        typer.Argument(
            help="models:/NAME@ALIAS, which is followed; models:/NAME/VERSION, another model URI, or a folder.",
            default_factory=only_champion,
            show_default="the champion of the only config in this folder",
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.", min=1, max=65535)] = 8080,
    threads: Annotated[int, typer.Option(help="Threads of a network's products.", min=1)] = 1,
    waiting: Annotated[int, typer.Option(help="Requests in progress or waiting; further ones get a 503.", min=1)] = 64,
    follow: Annotated[float, typer.Option(help="Seconds between two looks at the alias.", min=0.1)] = 10.0,
    sample: Sample = None,
    share: Share = SHARE,
    sample_megabytes: Megabytes = MEGABYTES,
    tables: Tables = FLOAT32,
    as_json: AsJson = False,
) -> None:
    """Serve a registered model over HTTP: POST /invocations, GET /health, /version and /metrics."""
    import torch

    from pipeline.registry.following import follow as follow_alias
    from pipeline.registry.following import load_version
    from pipeline.serving.lean_server import LeanServer, serve
    from pipeline.serving.sample.live import LiveSample
    from pipeline.serving.scorer import Scorer
    from pipeline.tracking.connection import require_store

    torch.set_num_threads(threads)
    with require_store("nothing is served; give the command again once it is back"):
        scorer, number = load_version(model, tables)
    sampled = None if sample is None else LiveSample(sample, share, sample_megabytes << 20)
    server = LeanServer(scorer, _about(model, scorer, number), waiting, sampled)

    def moved(scorer: Scorer, number: int | None) -> None:
        server.replace(scorer, _about(model, scorer, number))
        err.print("; ".join([f"{model} is version {number} now", *tables_notes(scorer, tables)]), highlight=False)

    follow_alias(model, number, follow, moved, tables)
    address = f"http://{host}:{port}"
    said = "; ".join([f"{model} is served at {address}", *tables_notes(scorer, tables)])
    show(said, _about(model, scorer, number) | {"address": address}, as_json)
    sys.stdout.flush()  # the command goes on, and a pipe is waiting
    serve(server, host, port)
    if sampled is not None:
        sampled.close()


def _about(model: str, scorer: Any, number: int | None) -> dict[str, Any]:
    return {
        "model": model,
        "version": number,
        "digest": scorer.digest,
        "outputs": list(scorer.outputs),
        "tables": scorer.tables,
        "gradops": package_version("gradops"),
    }
