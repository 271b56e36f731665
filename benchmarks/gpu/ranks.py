"""An epoch on two GPUs over NCCL, compared with the same one on one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.epoch import METHODS, ROOT, ClickLog, line, mean_loss, overrides
from pipeline.runs.run import find_run
from pipeline.training.training import train

LIMIT = 2e-3  # of the mean log loss: sums in another order, over an epoch


def print_table(log: ClickLog, devices: int) -> list[str]:
    """Two lines a method; the result is what is above the limit.

    Args:
        log: The rows.
        devices: Number of GPUs.
    """
    if devices < 2:
        print("\nranks: not run, there is one GPU")
        return []
    print(f"\nranks{'':33}{'rows/s':>14}{'s':>8}{'val logloss':>14}")
    rows, wrong = log.prepared.rows["train"], list[str]()
    for method in METHODS:
        # In a folder of its own: the run of one process must not be found in place of that of two.
        options = (f"train.method={method}", "train.device=cuda", "model.dropout=0.0")
        alone = train(log.config(*options), log.prepared)
        print(line(f"{method}, 1 GPU", alone, rows), flush=True)
        config = log.config(*options, f"runs={log.folder}/ranks")
        subprocess.run(command(log, *options, f"runs={log.folder}/ranks"), check=True, cwd=ROOT, stdout=sys.stderr)
        both = find_run(config, log.prepared)
        assert both is not None, "torchrun has ended without an error"
        print(line(f"{method}, 2 GPUs over NCCL", both, rows), flush=True)
        if not abs(mean_loss(both) - mean_loss(alone)) <= LIMIT:
            wrong.append(f"{method} on two ranks by {abs(mean_loss(both) - mean_loss(alone)):.1e}")
    return wrong


def command(log: ClickLog, *options: str) -> list[str]:
    """``torchrun`` of a run on two ranks."""
    torchrun = [str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc-per-node", "2"]
    train_it = ["-m", "jobs", "train", str(ROOT / "configs" / "clicklog.toml")]
    return [*torchrun, *train_it, *(part for one in overrides(log.folder, *options) for part in ("--set", one))]
