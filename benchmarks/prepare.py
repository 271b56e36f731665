"""The cost of preparing a click log: `python -m benchmarks.prepare [ROWS] [--peer]`.

A generated log of ROWS rows (a million by default), kept in ``data/``, is prepared by configs/clicklog.toml. It is
compared with a bare Polars scan and sink of the same files, and with ``--peer`` also with the same encoding by pandas
and scikit-learn. Each way runs in its own process, three rounds in turn. Printed are the median seconds, rows a second,
the share of the bare way's rows a second, and the peak of the resident memory. Imports are not timed.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from pipeline.sources.clicklog import Options, generate

ROUNDS = 3
CONFIG = Path(__file__).parent.parent / "configs" / "clicklog.toml"


def main(rows: int, *, peer: bool) -> None:
    """Print one line a way."""
    log = Path("data") / f"clicklog-{rows}"
    generate(Options(rows=rows), log)
    ways = ["bare", "gradops", *(["pandas"] if peer else [])]
    runs = [{way: _measured(way, log) for way in ways} for _ in range(ROUNDS)]
    bare = median(run["bare"]["seconds"] for run in runs)
    print(f"{'':8}{'seconds':>10}{'rows/s':>12}{'of bare':>10}{'MiB':>8}")
    for way in ways:
        seconds, peak = median(run[way]["seconds"] for run in runs), max(run[way]["MiB"] for run in runs)
        print(f"{way:8}{seconds:10.1f}{rows / seconds:12,.0f}{bare / seconds:10.2f}{peak:8.0f}")


def _measured(way: str, log: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.prepare", f"--one={way}", str(log)]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def one(way: str, log: Path) -> None:
    """Prepare the log in one way, and print seconds and peak memory."""
    from benchmarks import pandas_peer
    from pipeline.data.prepare import prepare
    from pipeline.training.resolve import load_config

    with TemporaryDirectory(dir=log.parent) as out:
        config = load_config(CONFIG, [f"data.train={log}/**/*.parquet", f"data.prepared={out}"])
        started = time.perf_counter()
        if way == "bare":
            import polars as pl

            pl.scan_parquet(config.data.train).sink_parquet(f"{out}/bare.parquet")
        elif way == "gradops":
            prepare(config)
        else:
            pandas_peer.prepare(config, Path(out))
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments and arguments[0].startswith("--one="):
        one(arguments[0].removeprefix("--one="), Path(arguments[1]))
    else:
        main(next((int(a) for a in arguments if a != "--peer"), 1_000_000), peer="--peer" in arguments)
