"""Shares of an epoch's time: `python -m benchmarks.epoch [CONFIG] [--method METHOD ...] [--rounds 3]`.

A network trains on the rows of a config (Census-income, after `gradops fetch census`), with the config's number of
threads. Printed is the share of the steps, and within it of forward and loss, gradients, and the optimizer's update;
of waiting for batches; of the schedule; and of the rest, in which batches go to the device and losses come back; also
the time of the validation, as a share of the training's. Methods take epochs in turn in one process; medians are
printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import ParamSpec, TypeVar
from unittest.mock import patch

import torch

from pipeline.config.run import RunConfig
from pipeline.data.batches import Batches
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.data.windows import Batch
from pipeline.training.build import trainer_of
from pipeline.training.resolve import load_config

METHODS = ("uniform", "gradops(alpha=-1)", "rotograd", "rotograd + rotation(map='cayley')")
COLUMNS = ("steps", "forward", "gradients", "update", "batches", "schedule", "rest", "validate")

P = ParamSpec("P")
R = TypeVar("R")


class Clock:
    """Seconds in each of several functions."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def of(self, name: str, function: Callable[P, R]) -> Callable[P, R]:
        """A function wrapped so that its time is added to a name's."""

        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            started = time.perf_counter()
            result = function(*args, **kwargs)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
            return result

        return timed

    def waits(self, name: str, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Batches, with the time of waiting for each added to a name's."""
        following = self.of(name, lambda: next(batches, None))
        while (batch := following()) is not None:
            yield batch


class Watched:
    """A run whose epochs are timed.

    Args:
        config: The run.
        prepared: Its data.
    """

    def __init__(self, config: RunConfig, prepared: Prepared) -> None:
        self.trainer = trainer_of(config, prepared)

    def epoch(self) -> dict[str, float]:
        """Seconds of the next epoch's training, and the shares of it."""
        trainer, clock = self.trainer, Clock()
        train: Batches = trainer.splits["train"]
        waited = clock.waits("batches", train.epoch(len(trainer.history)))
        with ExitStack() as watched:
            for owner, attribute, name in (
                (trainer, "_train_on", "step"),
                (trainer, "evaluate", "validate"),
                (trainer.model, "cut", "tables"),
                (trainer, "_part", "network"),  # an argument of the backward pass
                (trainer.optimizer, "backward", "network and gradients"),
                (trainer.optimizer.optimizer, "step", "update"),
                (trainer.schedule, "step", "schedule"),
            ):
                watched.enter_context(patch.object(owner, attribute, clock.of(name, getattr(owner, attribute))))
            watched.enter_context(patch.object(train, "epoch", lambda *_, **__: waited))
            clock.of("epoch", trainer.epoch)()
        found = clock.seconds
        training = found["epoch"] - found["validate"]
        found["steps"] = found["step"] - found["schedule"]
        found["forward"] = found["tables"] + found["network"]
        found["gradients"] = found["network and gradients"] - found["network"]
        found["rest"] = training - found["step"] - found["batches"]
        return {"seconds": training} | {name: found[name] / training for name in COLUMNS}


def main() -> None:
    """Print a line a method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, nargs="?", default=Path("configs/census.toml"))
    parser.add_argument("--method", nargs="+", default=METHODS)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    config = load_config(chosen.config)
    prepared = prepare(config)
    torch.set_num_threads(config.train.threads)
    runs = {}
    for method in chosen.method:
        train = config.train.model_copy(update={"method": method})
        runs[method] = Watched(config.model_copy(update={"train": train}), prepared)
    found: dict[str, list[dict[str, float]]] = {method: [] for method in runs}
    for _ in range(chosen.rounds):
        for method, run in runs.items():
            found[method].append(run.epoch())
    print(f"{'':36}{'seconds':>10}" + "".join(f"{name:>10}" for name in COLUMNS))
    for method, epochs in found.items():
        shares = "".join(f"{median(epoch[name] for epoch in epochs):10.1%}" for name in COLUMNS)
        print(f"{method:36}{median(epoch['seconds'] for epoch in epochs):10.2f}{shares}")


if __name__ == "__main__":
    main()
