"""What one rank of the benchmark does: steps whose time is divided, then steps whose collectives are counted."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch

from benchmarks.ranks.collectives import Collectives
from gradops.group import Alone, Group
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.training.build import trainer_of
from pipeline.training.distributed import rank_group
from pipeline.training.trainer import Trainer

WARM = 4  # steps that are not measured
COUNTED = 2  # steps whose collectives are counted; their time is not measured


@dataclass(frozen=True)
class Clock:
    """Seconds up to a moment: of the wall, of the processor in the main thread, and of it in the whole process."""

    wall: float
    main: float
    process: float

    @classmethod
    def now(cls) -> Clock:
        """This moment."""
        return cls(time.perf_counter(), time.thread_time(), time.process_time())


@dataclass(frozen=True)
class Work:
    """A run of which all ranks take some steps.

    Args:
        name: Of the data and the method.
        config: The run.
        prepared: Its data.
        steps: Number of steps that are measured; 0 to count collectives only.
    """

    name: str
    config: RunConfig
    prepared: Prepared
    steps: int


class _EnoughError(Exception):
    """Ends an epoch after the last step that is wanted."""


def run(rank: int, ranks: int, port: int, folder: Path, works: Sequence[Work]) -> None:
    """Take the steps of every work as one of several ranks, each on a core of its own as far as there are cores.

    Args:
        rank: Number of this rank.
        ranks: Number of all.
        port: A free port.
        folder: The folder that gets a file of this rank's measurements.
        works: The runs.
    """
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[rank % len(cores)]})
    torch.set_num_threads(1)
    with ExitStack() as stack:
        group: Group = Alone()
        if ranks > 1:
            os.environ |= _environment(rank, ranks, port)
            group = stack.enter_context(rank_group())
        found = {work.name: _measured(work, group) for work in works}
    (folder / f"{ranks}-{rank}.json").write_text(json.dumps(found))


def _environment(rank: int, ranks: int, port: int) -> dict[str, str]:
    """The variables that torchrun sets."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "MASTER_PORT": port}
    text = {"MASTER_ADDR": "localhost", "TORCHELASTIC_RUN_ID": "benchmark"}
    return text | {name: str(number) for name, number in numbers.items()}


def _measured(work: Work, group: Group) -> dict[str, object]:
    """Milliseconds a step by what they are spent on, and the collectives of the last step."""
    trainer = trainer_of(work.config, work.prepared, group)
    # Read before: a reader's threads would count as the exchanges' own.
    batches = [*islice(trainer.splits["train"].epoch(0), WARM + work.steps + COUNTED)]
    clocks, recorder = list[Clock](), Collectives()
    with ExitStack() as counting, patch.object(trainer.splits["train"], "epoch", lambda *_, **__: iter(batches)):

        def after_step() -> None:
            clocks.append(Clock.now())
            if len(clocks) == WARM + work.steps + COUNTED - 1:
                counting.enter_context(recorder)
            elif len(clocks) == WARM + work.steps + COUNTED:
                raise _EnoughError

        _until_enough(trainer, after_step)
    assert len(clocks) == len(batches), f"`{work.name}` has only {len(clocks)} steps an epoch"
    return {
        "rows": work.config.train.batch_size,
        "steps": [_divided(*pair) for pair in zip(clocks[WARM - 1 :], clocks[WARM : WARM + work.steps], strict=False)],
        "collectives": [asdict(one) for one in recorder.seen],
    }


def _until_enough(trainer: Trainer, after_step: Callable[[], None]) -> None:
    try:
        trainer.epoch(after_step)
    except _EnoughError:
        return


def _divided(before: Clock, after: Clock) -> dict[str, float]:
    """A step's milliseconds: in the main thread, in those of the exchanges, and those in which neither works."""
    wall, main, process = (1000 * (getattr(after, n) - getattr(before, n)) for n in ("wall", "main", "process"))
    return {"step": wall, "compute": main, "exchange": process - main, "wait": wall - process}


def medians(steps: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each part over steps."""
    return {name: median(step[name] for step in steps) for name in steps[0]}
