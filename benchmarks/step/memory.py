"""Memory of a way: a process of its own for each."""

from __future__ import annotations

import multiprocessing
import resource
from dataclasses import replace

import torch

from benchmarks.step.setting import Setting
from benchmarks.step.ways import WAYS

STEPS = 3


def peak(name: str, setting: Setting, threads: int) -> float:
    """Megabytes that a fresh process adds over its imports at its peak, by a network and three steps.

    To be called before the calling process has grown: the new one begins with its peak.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(added, (name, setting, threads))


def added(name: str, setting: Setting, threads: int) -> float:
    """The same within this process."""
    torch.set_num_threads(threads)
    _run(name, replace(setting, rows=(10,) * len(setting.rows), batch=2))  # what libraries allocate at their first use
    before = _peak()
    _run(name, setting)
    return _peak() - before


def _run(name: str, setting: Setting) -> None:
    step = WAYS[name].on(setting)
    for turn in range(STEPS):
        step(*setting.data(turn))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
