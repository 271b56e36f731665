"""Milliseconds of several steps, their ratios, and the ratios of their multiplications."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean, quantiles
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.step.setting import Setting
from benchmarks.step.way import Step

WARM_UP = 3  # the first steps allocate


class Quartiles(NamedTuple):
    """The quartiles and the mean of some values."""

    low: float
    middle: float
    high: float
    mean: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Quartiles:
        """The quartiles and the mean of at least two values."""
        low, middle, high = quantiles(values, n=4, method="inclusive")
        return cls(low, middle, high, fmean(values))


def interleaved(steps: Mapping[str, Step], setting: Setting, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every step in every round; a round is one batch for all steps, in a random order.

    In a fixed order each step would always find the caches as the same other step leaves them. With one thread the
    milliseconds are CPU time, which other processes hardly change; with several they are wall-clock time.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    names = list(steps)
    taken: dict[str, list[float]] = {name: [] for name in names}
    generator = torch.Generator().manual_seed(0)
    with _collected_between():
        for turn in range(WARM_UP + rounds):
            bags, labels_BT = setting.data(turn)
            for place in torch.randperm(len(names), generator=generator).tolist():
                gc.collect()
                started = clock()
                steps[names[place]](bags, labels_BT)
                taken[names[place]].append(1000 * (clock() - started))
    return {name: times[WARM_UP:] for name, times in taken.items()}


def ratios(times: Sequence[float], of_others: Sequence[float]) -> Quartiles:
    """Quartiles of the ratios to another step's time in the same round."""
    return Quartiles.of([a / b for a, b in zip(times, of_others, strict=True)])


def multiplications(step: Step, setting: Setting) -> int:
    """The multiplications of all matrix products in a step, counted as torch dispatches them."""
    counter = _Counter()
    with counter:
        step(*setting.data(0))
    return counter.operations // 2  # additions are counted too


class _Counter(TorchDispatchMode):
    """A counter by torch's formulas. Torch's own counter hooks modules, and hooks rule out a chain of layers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it so
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func.overloadpacket):
            self.operations += int(count(*args, **(kwargs or {}), out_val=made))
        return made


@contextmanager
def _collected_between() -> Iterator[None]:
    """Collect garbage before the block, and disable collection within it, where one way would pay for another's."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
