"""Memory of a way: a process of its own for each."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.step.setting import Setting
from benchmarks.step.ways import WAYS

STEPS = 3


def peak(name: str, setting: Setting, threads: int) -> float:
    """Megabytes that a fresh process adds over its imports at its peak, by a network and three steps."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(added, (name, setting, threads))


def added(name: str, setting: Setting, threads: int) -> float:
    """The same within this process."""
    torch.set_num_threads(threads)
    _run(name, replace(setting, rows=(10,) * len(setting.rows), batch=2))  # what libraries allocate at their first use
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _megabytes("VmRSS")
    _run(name, setting)
    return _megabytes("VmHWM") - before


def _run(name: str, setting: Setting) -> None:
    step = WAYS[name].on(setting)
    for turn in range(STEPS):
        step(*setting.data(turn))


def _megabytes(name: str) -> float:
    """Of this process by Linux's own count: ``VmRSS`` at present, ``VmHWM`` at the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kilobytes) * 1024 / 1e6
