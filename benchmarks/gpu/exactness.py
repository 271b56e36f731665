"""Short runs on a device and on the CPU, and how far apart they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.runs.run import Run
from pipeline.training.resolve import load_config
from pipeline.training.training import train

ROOT = Path(__file__).parents[2]
# Relative differences. One step's sums are rounded in another order; ten steps of Adam magnify that where gradients are
# near 0. Half precision rounds products to three digits.
LIMIT, LIMIT_AFTER, LIMIT_HALF = 1e-3, 5e-3, 5e-2

FUSED = ("train.table_kernel=fused", "train.table_lr=0.05")
CASES: dict[str, tuple[str, ...]] = {
    "uniform": ("train.method=uniform",),
    "gradops, exact": ("train.method=gradops(alpha=-2)",),
    "pcgrad, clipped": ("train.method=pcgrad", "train.clip_norm=0.5"),
    "gradnorm, at the features": ("train.method=gradnorm", "train.measure=features"),
    "pcgrad, a third of the rows": ("train.method=pcgrad", "train.gram_share=0.3", "train.gram_every=2"),
    "graddrop": ("train.method=graddrop",),
    "rotograd_v1": ("train.method=rotograd_v1",),
    "lazy_adam, averaged": ("train.table_optimizer=lazy_adam", "train.ema=0.9"),
    "fused rowwise_adagrad": (*FUSED, "train.table_optimizer=rowwise_adagrad", "train.method=mgda"),
    "fused adagrad, averaged": (*FUSED, "train.table_optimizer=adagrad", "train.ema=0.9"),
    "bfloat16": ("train.method=pcgrad", "train.precision=bfloat16"),
}


def print_table(folder: Path, device: str, cases: Sequence[str] = tuple(CASES)) -> list[str]:
    """A line a case; the result is what is above its limit.

    Args:
        folder: Takes data and runs.
        device: The device that is compared with the CPU.
        cases: Names of the cases.
    """
    print(f"\nexactness{'':29}{'first step':>12}{'after 10':>12}")
    prepared, wrong = prepare(_config(folder)), list[str]()
    for name in cases:
        there, here = (_run(folder, prepared, place, CASES[name]) for place in (device, "cpu"))
        first, after = apart(_first(there), _first(here)), apart(_losses(there), _losses(here))
        limits = (LIMIT_HALF, LIMIT_HALF) if name == "bfloat16" else (LIMIT, LIMIT_AFTER)
        is_near = first <= limits[0] and after <= limits[1]  # False where a number is none
        wrong += [] if is_near else [f"{name} by {first:.1e} and {after:.1e}"]
        print(f"{name:38}{first:12.1e}{after:12.1e}{'' if is_near else '   above the limit'}", flush=True)
    return wrong


def apart(there: Mapping[str, float], here: Mapping[str, float]) -> float:
    """The largest difference of equal names, relative to the larger of 1 and the number."""
    if there.keys() != here.keys():
        return math.inf
    return max(abs(value - here[name]) / max(1.0, abs(here[name])) for name, value in there.items())


def _config(folder: Path, *overrides: str) -> RunConfig:
    data = [f"data.train={ROOT}/tests/data/census/train.parquet", f"data.holdout={ROOT}/tests/data/census/test.parquet"]
    places = [f"data.prepared={folder / 'prepared'}", f"runs={folder / 'runs'}"]
    fixed = ["model.dropout=0.0", "train.diagnose_every=100"]  # a GPU draws otherwise
    return load_config(ROOT / "configs" / "debug.toml", [*data, *places, *fixed, *overrides])


def _run(folder: Path, prepared: Prepared, device: str, options: Sequence[str]) -> Run:
    return train(_config(folder, *options, f"train.device={device}"), prepared)


def _first(run: Run) -> dict[str, float]:
    return run.history[0].diagnostics[0]


def _losses(run: Run) -> dict[str, float]:
    return {task: metrics["logloss"] for task, metrics in run.history[-1].val.items()} | run.history[-1].losses
