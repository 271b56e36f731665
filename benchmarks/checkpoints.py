"""What a checkpoint costs the steps: `python -m benchmarks.checkpoints [--buckets 8000000] [--rounds 4]`.

A click log is generated and prepared; the network of ``configs/clicklog.toml``, its largest table with many more rows,
takes steps on batches that are in memory, with one thread. Rounds take turns: steps alone, then steps while a
checkpoint is written behind them. Printed are, for each round and for their sum,

- ``alone`` and ``writing``: milliseconds a step, the mean, and their ratio;
- ``begin``: milliseconds in which the run waits for the copy of its state and for the look at its weights;
- ``written``: seconds until the checkpoint is on the disk;
- ``waiting``: the seconds that a run waits with ``train.async_checkpoints = false``.

Times hold on an idle machine of two cores or more only.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from pipeline.data.prepare import prepare
from pipeline.sources.clicklog import Options, generate
from pipeline.training.build import trainer_of
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.checkpoint_writer import CheckpointWriter, checkpoint_writer
from pipeline.training.resolve import load_config
from pipeline.training.trainer import Trainer

ROOT = Path(__file__).parents[1]
WARM, BATCHES = 5, 20


@dataclass(frozen=True)
class Round:
    """The measurements of one round, in seconds.

    Args:
        alone: A step without a checkpoint, mean.
        writing: A step while one is written, mean.
        begin: The copy, in which the run waits.
        written: The writing.
        waiting: A checkpoint for which the run waits.
    """

    alone: float
    writing: float
    begin: float
    written: float
    waiting: float


def main() -> None:
    """Print a line for each round, and their mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="clicks of the log")
    parser.add_argument("--buckets", type=int, default=8_000_000, help="rows of the largest table, of width 8")
    parser.add_argument("--steps", type=int, default=60, help="steps alone, in a round")
    parser.add_argument("--rounds", type=int, default=4)
    chosen = parser.parse_args()
    with TemporaryDirectory(prefix="checkpoints-") as name:
        trainer = _trainer(Path(name), chosen.rows, chosen.buckets)
        weights = sum(p.numel() * p.element_size() for p in trainer.model.parameters())
        print(f"weights of {weights / 1e6:.0f} MB; milliseconds and seconds")
        print(f"{'':8}{'alone':>10}{'writing':>10}{'ratio':>8}{'begin':>10}{'written':>10}{'waiting':>10}")
        step = _steps(trainer)
        for _ in range(WARM):
            step()
        found = [_round(trainer, step, chosen.steps, Path(name) / "checkpoints") for _ in range(1 + chosen.rounds)][1:]
        for number, one in enumerate(found):
            _print(str(number), one)
        _print("mean", Round(*(sum(getattr(o, f.name) for o in found) / len(found) for f in fields(Round))))


def _trainer(folder: Path, rows: int, buckets: int) -> Trainer:
    generate(Options(rows=rows), folder / "log")
    places = [f"data.train={folder}/log/**/*.parquet", f"data.prepared={folder}/prepared", f"runs={folder}/runs"]
    steps = ["train.diagnose_every=1000000", "train.epochs=1000", f"spec.features.user_id.buckets={buckets}"]
    config = load_config(ROOT / "configs" / "clicklog.toml", [*places, *steps])
    torch.set_num_threads(config.train.threads)
    return trainer_of(config, prepare(config))


def _steps(trainer: Trainer) -> Callable[[], float]:
    batches = cycle([*islice(trainer.splits["train"].epoch(0), BATCHES)])
    return lambda: _seconds(lambda: trainer._step_on(next(batches)))


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _round(trainer: Trainer, step: Callable[[], float], steps: int, folder: Path) -> Round:
    checkpoints = Checkpoints(folder, {"run": "benchmark"}, keep=1)
    alone = [step() for _ in range(steps)]
    with checkpoint_writer(checkpoints, behind=True) as writer:
        _saved(writer, trainer)  # the first copy makes its memory; later ones use it again
        writer.wait()
        started = time.perf_counter()
        begin = _seconds(lambda: _saved(writer, trainer))
        writing = []
        while writer.is_writing:
            writing.append(step())
        written = time.perf_counter() - started
    waiting = _seconds(lambda: checkpoints.save(trainer.step, trainer.state_dict()))
    return Round(sum(alone) / len(alone), sum(writing) / len(writing), begin, written, waiting)


def _saved(writer: CheckpointWriter, trainer: Trainer) -> None:
    writer.save(trainer.step, trainer.state_dict(), trainer.UNCHANGED)


def _print(name: str, one: Round) -> None:
    steps = f"{1000 * one.alone:10.1f}{1000 * one.writing:10.1f}{one.writing / one.alone:8.3f}"
    print(f"{name:8}{steps}{1000 * one.begin:10.1f}{one.written:10.2f}{one.waiting:10.2f}", flush=True)


if __name__ == "__main__":
    main()
