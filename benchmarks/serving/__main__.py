"""The cost of serving: `python -m benchmarks.serving`; with `--soak 600`, a server's memory over ten minutes.

A click log of 46 features is made, and a model trained on it for a few steps and registered, in a temporary folder.
Then five things are measured, each by itself with `--only`:

- files: rows a second of the bare forward pass on encoded rows, of encoding and forward, and of the whole of
  `gradops score` from Parquet to Parquet, by wall clock and by CPU time of all cores; medians of rounds;
- in process: requests of 1 to 500 rows on one core, with and without JSON, all rows' columns or one user's candidates,
  and by expressions as before (:mod:`benchmarks.serving.in_process`); POLARS_MAX_THREADS=1 gives those one thread, too;
- sample: the processor time that a sample of the scored rows adds to a request (:mod:`benchmarks.serving.sampled`);
- requests: `gradops serve` and `mlflow models serve` in processes of their own, asked over loopback by clients that
  each keep a connection; with the CPU time of the server. Beside them models of LightGBM and scikit-learn with as many
  columns behind `mlflow models serve` (:mod:`benchmarks.serving.peers`). A server has the last core, clients the first;
- tables, only by `--only tables`: a model of the click log and one of Census-income, each trained for an epoch, with
  embedding tables in each precision (:mod:`benchmarks.serving.tables`);
- overload, only by `--only overload`: requests to `gradops serve` at a pace below its capacity, and at two and three
  times its capacity (:mod:`benchmarks.serving.overload`);
- soak: four clients send requests of some sizes, every tenth one bad, while the alias moves ten times between two equal
  versions; resident memory after a minute and at the end.

An idle machine of two cores needs under five minutes for
`POLARS_MAX_THREADS=1 python -m benchmarks.serving --rows 60000 --sizes 1,500 --clients 1 --seconds 8`.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import torch
import typer
from mlflow.tracking import MlflowClient

from benchmarks.serving.in_process import measure, shared
from benchmarks.serving.overload import measure_overload
from benchmarks.serving.peers import peer_bodies, save_peers
from benchmarks.serving.sampled import measure_sampling
from benchmarks.serving.servers import cpu_seconds, resident, serving
from benchmarks.serving.tables import measure_tables
from pipeline.comparison.compare import compare
from pipeline.comparison.comparison import comparison_fingerprint
from pipeline.data.prepare import prepare
from pipeline.registry.packaging import fetched
from pipeline.registry.register import register
from pipeline.serving.batch import Scoring
from pipeline.serving.scorer import Scorer
from pipeline.sources.clicklog import Options, generate
from pipeline.tracking.group import RunGroup
from pipeline.tracking.tracker import Tracker
from pipeline.training.resolve import load_config

ROOT = Path(__file__).parents[2]
MODEL = "models:/clicklog@balanced"
_LOCAL = ("--env-manager", "local")
SERVERS = {
    "gradops serve": ("jobs", "serve", MODEL),
    "mlflow models serve": ("mlflow", "models", "serve", "-m", MODEL, *_LOCAL),
}
ROUNDS, WARM_UP, MOVES = 3, 60, 10


def main(
    rows: int = 500_000,
    seconds: float = 10,
    soak: float = 0,
    threads: int = 1,
    requests: int = 2000,
    sizes: str = "1,10,100,500",
    clients: str = "1,4",
    only: str = "",
    waiting: int | None = None,
    census: Path = ROOT / "data" / "census",
) -> None:
    """Measure files and requests, or soak a server.

    Args:
        rows: Number of rows in the files.
        seconds: Seconds for which each kind of request is sent.
        soak: Seconds of a soak, which replaces the other measurements.
        threads: Number of torch's threads, here and in the server.
        requests: Number of requests of each kind in process.
        sizes: The numbers of rows of requests, in process and over HTTP.
        clients: The numbers of clients over HTTP.
        only: `files`, `process`, `sample`, `http`, `overload` or `tables` for one of the measurements.
        waiting: The server's `--waiting` in an overload; its default if none is given.
        census: Folder of Census-income (`gradops fetch census`), for `tables`.
    """
    torch.set_num_threads(threads)
    census = census.resolve()
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ |= {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "OMP_NUM_THREADS": str(threads)}
        if only == "tables":
            _tables(rows, census, requests)
            return
        _register(rows)
        if only in ("", "files") and not soak:
            _files()
        if only in ("", "process") and not soak:
            _in_process(measure, [int(size) for size in sizes.split(",")], requests)
        if only in ("", "sample") and not soak:
            _in_process(measure_sampling, [int(size) for size in sizes.split(",")], requests // ROUNDS // 5)
        bodies = _bodies([int(size) for size in sizes.split(",")])
        if only == "overload":
            _overload(bodies, seconds, waiting)
        if only in ("", "http"):
            _over_http(bodies, seconds, soak, [int(count) for count in clients.split(",")])


def _over_http(bodies: Mapping[int, bytes], seconds: float, soak: float, clients: Sequence[int]) -> None:
    served = {name: (command, bodies) for name, command in SERVERS.items()} | ({} if soak else _peers([*bodies]))
    for name, (command, own) in served.items():
        with serving(command) as (port, process):
            print(name)
            if soak:
                _soak(port, process, own, soak)
            else:
                _requests(port, process, own, seconds, clients)


def _register(rows: int) -> None:
    generate(Options(rows=rows, users=20_000, items=5_000), Path("data/clicklog"))
    few = ["train.max_steps=10", "compare.methods=['uniform']", "compare.boosting=false", "compare.workers=1"]
    config = load_config(ROOT / "configs" / "clicklog.toml", few)
    prepared = prepare(config)
    with Tracker.open(config, prepared, RunGroup.comparison(comparison_fingerprint(config, prepared))) as tracker:
        register(compare(config, prepared, [tracker]), tracker)
    MlflowClient().copy_model_version("models:/clicklog/1", "clicklog")  # for a soak's moves


def _tables(rows: int, census: Path, requests: int) -> None:
    generate(Options(rows=rows, users=20_000, items=5_000), Path("data/clicklog"))
    files = [f"data.{part}='{census / name}.parquet'" for part, name in (("train", "train"), ("holdout", "test"))]
    asked = {"clicklog": ("data/clicklog/**/*.parquet", []), "census": (str(census / "test.parquet"), files)}
    for name, (source, overrides) in asked.items():
        config = load_config(ROOT / "configs" / f"{name}.toml", ["train.epochs=1", *overrides])
        measure_tables(config, pl.read_parquet(source, n_rows=25_000), requests)


def _overload(bodies: Mapping[int, bytes], seconds: float, waiting: int | None) -> None:
    options = () if waiting is None else ("--waiting", str(waiting))
    for rows, body in bodies.items():
        with serving((*SERVERS["gradops serve"], *options)) as (port, _):
            print(f"gradops serve {' '.join(options)}, {rows} rows a request")
            measure_overload(port, body, seconds)


def _peers(sizes: Sequence[int]) -> dict[str, tuple[tuple[str, ...], Mapping[int, bytes]]]:
    with fetched(MODEL) as folder:
        scorer = Scorer.load(folder)
    rows = pl.read_parquet("data/clicklog/**/*.parquet", n_rows=20_000)
    bodies = peer_bodies(scorer, rows[: max(sizes)], sizes)
    return {
        f"{name} behind mlflow models serve": (("mlflow", "models", "serve", "-m", str(path), *_LOCAL), bodies)
        for name, path in save_peers(scorer, rows, Path("peers")).items()
    }


def _files() -> None:
    with fetched(MODEL) as folder:
        scorer = Scorer.load(folder)
    rows = pl.read_parquet("data/clicklog/**/*.parquet")
    rows.write_parquet("rows.parquet", row_group_size=1 << 16)
    window = scorer.window(rows)
    rounds = count()

    def forward() -> None:
        scorer.probabilities(window)

    def whole() -> None:
        Scoring.of(scorer, "rows.parquet", Path(f"scores-{next(rounds)}"), None).run(_Silent())

    ways = {"bare forward": forward, "encode and forward": lambda: scorer.score(rows), "gradops score": whole}
    clocks = {"rows/s": time.perf_counter, "rows a second of a core": time.process_time}
    taken: dict[tuple[str, str], list[float]] = {(unit, name): [] for unit in clocks for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            started = {unit: clock() for unit, clock in clocks.items()}
            way()
            for unit, clock in clocks.items():
                taken[unit, name].append(clock() - started[unit])
    for (unit, name), times in taken.items():
        share = median(taken[unit, "bare forward"]) / median(times)
        print(f"{name:20} {rows.height / median(times):10,.0f} {unit}, {share:.2f} of the bare forward")


def _in_process(
    measured: Callable[[Scorer, pl.DataFrame, Sequence[int], int], None], sizes: Sequence[int], requests: int
) -> None:
    with fetched(MODEL) as folder:
        scorer = Scorer.load(folder)
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(own)})
    try:
        measured(scorer, pl.read_parquet("data/clicklog/**/*.parquet", n_rows=25_000), sizes, requests)
    finally:
        os.sched_setaffinity(0, own)


class _Silent:
    """A :class:`pipeline.serving.batch.ScoringCallback` that shows nothing."""

    def on_start(self, rows: int, done: int) -> None:
        """Nothing."""

    def on_part(self, rows: int) -> None:
        """Nothing."""


def _bodies(sizes: Sequence[int]) -> dict[int, bytes]:
    """Number of rows of a request to the request's body: a row as a record, more as one user's candidates."""
    rows = pl.read_parquet(next(Path("data/clicklog").rglob("*.parquet")), n_rows=max(sizes))
    record = json.dumps({"dataframe_records": rows[:1].to_dicts()}, default=str).encode()
    parts = {n: json.loads(json.dumps(rows[:n].to_dict(as_series=False), default=str)) for n in sizes}
    return {n: record if n == 1 else shared(part) for n, part in parts.items()}


def _client(port: int, bodies: list[tuple[bytes, int]], until: float) -> list[float]:
    """Send requests one after another, each with its expected status, and return the seconds that each took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    taken: list[float] = []
    for number in count():
        if time.perf_counter() > until:
            return taken
        body, expected = bodies[number % len(bodies)]
        started = time.perf_counter()
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        taken.append(time.perf_counter() - started)
        assert answer.status == expected, content[:500]
    raise AssertionError


def _requests(port: int, process: int, bodies: Mapping[int, bytes], seconds: float, numbers: Sequence[int]) -> None:
    print("rows a request, clients: p50 ms, p95, p99, requests/s, rows/s, CPU ms of the server a request")
    _client(port, [(body, 200) for body in bodies.values()], time.perf_counter() + 3)
    for rows, body in bodies.items():
        for clients in numbers:
            until, cpu = time.perf_counter() + seconds, cpu_seconds(process)
            with ThreadPoolExecutor(clients) as pool:
                found = [pool.submit(_client, port, [(body, 200)], until) for _ in range(clients)]
                taken = [one for client in found for one in client.result()]
            shown = " ".join(f"{one:7.1f}" for one in np.percentile(taken, [50, 95, 99]) * 1000)
            rate, spent = len(taken) / seconds, 1000 * (cpu_seconds(process) - cpu) / len(taken)
            print(f"{rows:4} {clients:3}: {shown} {rate:8.1f} {rate * rows:9.0f} {spent:7.2f}", flush=True)


def _soak(port: int, process: int, bodies: Mapping[int, bytes], seconds: float) -> None:
    bad = [(b'{"dataframe_records": [{}]}', 400)]
    mixed = ([(body, 200) for body in bodies.values()] * 3) + bad
    begin = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(_client, port, mixed, begin + seconds) for _ in range(4)]
        time.sleep(min(WARM_UP, seconds / 2))
        before = resident(process)
        for move in range(MOVES):
            time.sleep(max(begin + seconds - time.perf_counter(), 0) / (MOVES + 1 - move))
            MlflowClient().set_registered_model_alias("clicklog", "balanced", str(2 - move % 2))
        for client in found:
            client.result()
    after, requests = resident(process), sum(len(client.result()) for client in found)
    print(f"{requests} requests in {seconds:.0f} s: {before:.0f} MiB warm, {after:.0f} at the end", end=", ")
    print(f"{100 * (after / before - 1):+.1f} %")


if __name__ == "__main__":
    typer.run(main)
