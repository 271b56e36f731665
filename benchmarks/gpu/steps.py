"""Milliseconds of a step on a device, in the networks of :mod:`benchmarks.step`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from statistics import median

import torch

from benchmarks.step.ours import started
from benchmarks.step.setting import SETTINGS, Setting
from gradops import GramEstimator
from gradops.methods import parse

EXACT = "gradops(alpha=-1)"
WARM_UP, ROUNDS, STEPS = 5, 7, 10
BATCHES = (2048, 16384)


def print_table(
    device: str, settings: Mapping[str, Setting] = SETTINGS, batches: tuple[int, ...] = BATCHES, rounds: int = ROUNDS
) -> None:
    """Three lines for each network and size of a batch.

    Args:
        device: The device.
        settings: The networks.
        batches: Sizes of a batch.
        rounds: Number of timed rounds of ten steps; medians are printed.
    """
    print(f"\nsteps{'':33}{'ms':>10}{'of uniform':>12}{'rows/s':>14}")
    for name, setting in settings.items():
        for batch in batches:
            uniform = None
            for way, step in _steps(replace(setting, batch=batch), torch.device(device)).items():
                taken = _milliseconds(step, device, rounds)
                uniform = uniform or taken
                what = f"{name}, {batch} rows: {way}"
                print(f"{what:38}{taken:10.2f}{taken / uniform:12.2f}{1000 * batch / taken:14,.0f}", flush=True)


def _steps(setting: Setting, device: torch.device) -> dict[str, Callable[[], object]]:
    bags, labels_BT = setting.data(0)
    inputs = bags.to(device), labels_BT.to(device)
    made: dict[str, Callable[[], object]] = {}
    for name, estimator in {
        "uniform": GramEstimator(),
        "exact": GramEstimator(),
        "features": GramEstimator(measure="features"),
    }.items():
        method = parse("uniform" if name == "uniform" else EXACT)
        step = started(setting.model("fused").to(device), method=method, estimator=estimator)
        made[name] = partial(step, *inputs)
    return made


def _milliseconds(step: Callable[[], object], device: str, rounds: int) -> float:
    for _ in range(WARM_UP):
        step()
    found = []
    for _ in range(rounds):
        _finish(device)
        begun = time.perf_counter()
        for _ in range(STEPS):
            step()
        _finish(device)
        found.append(1000 * (time.perf_counter() - begun) / STEPS)
    return median(found)


def _finish(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
