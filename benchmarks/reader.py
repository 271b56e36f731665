"""Rows a second of the batch reader against a bare `pl.read_parquet`: `python -m benchmarks.reader [ROWS]`.

46 one-hot features and three labels, batches of 2048, one torch thread as in training. First the memory of the process
is printed after each of a few epochs, between which it should not grow. Then an epoch and a bare read of the same files
are timed in turn in one process, and the medians printed.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import torch

from features.encoder import ID, LABEL
from features.spec import FeatureSpec
from pipeline.data.batches import Batches

BATCH = 2048
ROUNDS = 5
FILE = 190_000  # rows of one split in a chunk of a quarter of a million raw rows
SIZES = (30, 200, 2000, 50_000)
SPEC = FeatureSpec.model_validate(
    {
        "features": {f"f{i}": {"kind": "categorical"} for i in range(46)},
        "tasks": {f"t{i}": {"positive": f"y{i} = 1"} for i in range(3)},
    }
)


def main(rows: int = 4_000_000) -> None:
    """Print the memory after each epoch, and a line for each way to read."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, rows)
        source = Batches(folder, SPEC, list(SPEC.tasks), batch_size=BATCH)
        for number in range(ROUNDS):
            _epoch(source, number)
            print(f"epoch {number}: {_resident() / 1e6:,.0f} MB resident")
        ways: dict[str, Callable[[], int]] = {
            "batches": lambda: _epoch(source, 0),
            "bare read": lambda: len(pl.read_parquet(folder / "*.parquet")),
        }
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, read in ways.items():
                started = time.perf_counter()
                assert read() == rows
                taken[way].append(time.perf_counter() - started)
        for way, seconds in taken.items():
            times = median(seconds) / median(taken["bare read"])
            print(f"{way:10} {rows / median(seconds):12,.0f} rows/s {times:6.2f} x the time of a bare read")


def _write(folder: Path, rows: int) -> None:
    """Encoded rows, skewed, over several files as :mod:`pipeline.data.prepare` writes them."""
    draw = np.random.default_rng(0)
    for start in range(0, rows, FILE):
        size = min(FILE, rows - start)
        ids = {f"{ID}f{i}": (draw.random(size) ** 3 * SIZES[i % 4] + 3).astype(np.int32) for i in range(46)}
        labels = {f"{LABEL}t{i}": (draw.random(size) < 0.1).astype(np.int8) for i in range(3)}
        file = folder / f"part-{start:010}.parquet"
        pl.DataFrame(ids | labels).write_parquet(file, row_group_size=65_536, compression="lz4", statistics=False)


def _epoch(source: Batches, number: int) -> int:
    return sum(len(batch.labels_BT) for batch in source.epoch(number))


def _resident() -> int:
    """Bytes of this process in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
