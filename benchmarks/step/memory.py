"""The memory of a step, measured in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.step.setting import Setting
from benchmarks.step.way import Step

STEPS = 3


def peak(made: Callable[[Setting], Step], setting: Setting, threads: int) -> float:
    """Megabytes that a network and three steps add to a fresh process, at its peak and over its imports.

    Args:
        made: The step on a network of its own; a function of a module, or a partial one, since it goes to the process.
        setting: The network and its batch.
        threads: Number of torch's threads.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(added, (made, setting, threads))


def added(made: Callable[[Setting], Step], setting: Setting, threads: int) -> float:
    """The megabytes that a network and three steps add to this process."""
    torch.set_num_threads(threads)
    _run(made, replace(setting, rows=(10,) * len(setting.rows), batch=2))  # libraries allocate at their first use
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _megabytes("VmRSS")
    _run(made, setting)
    return _megabytes("VmHWM") - before


def _run(made: Callable[[Setting], Step], setting: Setting) -> None:
    step = made(setting)
    for turn in range(STEPS):
        step(*setting.data(turn))


def _megabytes(name: str) -> float:
    """Memory of this process by Linux's own count: ``VmRSS`` for the present, ``VmHWM`` for the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kilobytes) * 1024 / 1e6
