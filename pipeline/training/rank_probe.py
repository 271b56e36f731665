"""Measured costs of a step: that of one process, that of one of several ranks, and that of an exchange of two."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from gradops.group import Alone, Group, Ranks, total
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.training.build import trainer_of
from pipeline.training.distributed import without_their_warnings

_WARM, _STEPS, _SECONDS = 3, 25, 4.0  # steps that do not count, and at most so many, or seconds, that do
_SMALL, _LARGE, _TIMES = 1 << 10, 1 << 20, 15  # numbers of float32 in the exchanges, and how often each is made


@dataclass(frozen=True)
class Costs:
    """What was measured on this machine.

    Args:
        alone: Seconds of a step of one process.
        rank: Seconds of a step of one of two ranks, apart from exchanges.
        latency: Seconds of an exchange of few bytes between two processes.
        bandwidth: Bytes a second that leave a process in a large exchange.
    """

    alone: float
    rank: float
    latency: float
    bandwidth: float


def measured(config: RunConfig, spread: RunConfig, prepared: Prepared) -> Costs:
    """Measure in two new processes, for some seconds.

    Args:
        config: The run of one process.
        spread: The run of two ranks, in which every table has its kind by name.
        prepared: The data of both.
    """
    get_context("forkserver").set_forkserver_preload([__name__])  # imported once, not by each process
    with TemporaryDirectory(prefix="gradops-plan-") as folder:
        start_processes(_measure, (Path(folder), config, spread, prepared), 2, start_method="forkserver")
        return Costs(**json.loads((Path(folder) / "costs.json").read_text()))


def _measure(rank: int, folder: Path, config: RunConfig, spread: RunConfig, prepared: Prepared) -> None:
    """What each of the two processes does: the first one then goes on alone."""
    torch.set_num_threads(config.train.threads)
    if config.train.threads == 1 and hasattr(os, "sched_setaffinity"):  # the threads of exchanges share the core
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[rank % len(cores)]})
    with without_their_warnings():
        dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
        latency, large = _exchange(_SMALL), _exchange(_LARGE)
        of_rank = _step(spread, prepared, Ranks())
        dist.destroy_process_group()
    if rank == 0:
        costs = Costs(_step(config, prepared, Alone()), of_rank, latency, 4 * _LARGE / max(large - latency, 1e-9))
        (folder / "costs.json").write_text(json.dumps(asdict(costs)))


def _exchange(numbers: int) -> float:
    """Seconds of a sum over two processes: as many bytes leave each of them as it hands in."""
    values = torch.zeros(numbers)

    def once() -> None:
        dist.all_reduce(values)

    return min(_seconds(once, time.perf_counter) for _ in range(_TIMES))


def _step(config: RunConfig, prepared: Prepared, group: Group) -> float:
    """Seconds of a step: the median."""
    trainer = trainer_of(config, prepared, group)
    trainer.model.train()
    # Read before, since a run reads ahead in other threads.
    batches = [*islice(trainer.splits["train"].epoch(0), _STEPS)]
    # With one thread, time of the processor in this one: neither exchanges nor other processes count.
    clock = time.thread_time if config.train.threads == 1 and trainer.device.type == "cpu" else time.perf_counter
    found: list[float] = []
    for batch in islice(cycle(batches), _WARM + _STEPS):
        found.append(_seconds(partial(trainer.take_step, batch), clock))
        if len(found) > _WARM + 1 and _agreed(sum(found) > _SECONDS, group):
            break
    return median(found[_WARM:])


def _agreed(is_enough: bool, group: Group) -> bool:
    """Whether any rank has had enough."""
    return total(int(is_enough), group, torch.device("cpu")) > 0


def _seconds(action: Callable[[], None], clock: Callable[[], float]) -> float:
    began = clock()
    action()
    return clock() - began
