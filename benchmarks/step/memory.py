"""The memory of a way, measured in a process of its own."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.step.setting import Setting
from benchmarks.step.ways import WAYS

STEPS = 3


def peak(name: str, setting: Setting, threads: int) -> float:
    """Megabytes that a network and three steps add to a fresh process, at its peak and over its imports."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(added, (name, setting, threads))


def added(name: str, setting: Setting, threads: int) -> float:
    """The megabytes that a network and three steps add to this process."""
    torch.set_num_threads(threads)
    _run(name, replace(setting, rows=(10,) * len(setting.rows), batch=2))  # libraries allocate at their first use
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _megabytes("VmRSS")
    _run(name, setting)
    return _megabytes("VmHWM") - before


def _run(name: str, setting: Setting) -> None:
    step = WAYS[name].on(setting)
    for turn in range(STEPS):
        step(*setting.data(turn))


def _megabytes(name: str) -> float:
    """Memory of this process by Linux's own count: ``VmRSS`` for the present, ``VmHWM`` for the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kilobytes) * 1024 / 1e6
