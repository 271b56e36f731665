"""Rows a second of an epoch over a generated click log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.runs.run import Run
from pipeline.sources.clicklog import Options, generate
from pipeline.training.resolve import load_config
from pipeline.training.training import train

ROOT = Path(__file__).parents[2]
ROWS = 700_000
METHODS, PRECISIONS = ("uniform", "gradops(alpha=-1)"), ("float32", "tf32", "bfloat16")


@dataclass(frozen=True)
class ClickLog:
    """A generated log, prepared.

    Args:
        folder: Folder of data and runs.
        prepared: The encoded rows.
    """

    folder: Path
    prepared: Prepared

    def config(self, *more: str) -> RunConfig:
        """The config with further changes."""
        return load_config(ROOT / "configs" / "clicklog.toml", overrides(self.folder, *more))


def overrides(folder: Path, *more: str) -> list[str]:
    """The changes of ``configs/clicklog.toml``: places, and what is measured."""
    places = [f"data.train={folder}/log/**/*.parquet", f"data.prepared={folder}/prepared", f"runs={folder}/runs"]
    return [*places, "train.batch_size=8192", "train.diagnose_every=100000", *more]


def click_log(folder: Path, rows: int = ROWS) -> ClickLog:
    """Generate and prepare a log of seven days."""
    generate(Options(rows=rows), folder / "log")
    return ClickLog(folder, prepare(load_config(ROOT / "configs" / "clicklog.toml", overrides(folder))))


def print_table(log: ClickLog, device: str, precisions: Sequence[str] = PRECISIONS) -> None:
    """A line a method and precision, and one of the CPU."""
    print(f"\nepoch{'':33}{'rows/s':>14}{'s':>8}{'val logloss':>14}")
    cases = [(method, precision, device) for method in METHODS for precision in precisions]
    for method, precision, place in [*cases, (METHODS[0], "float32", "cpu")]:
        options = (f"train.method={method}", f"train.precision={precision}", f"train.device={place}")
        run = train(log.config(*options), log.prepared)
        print(line(f"{method}, {precision}, {place}", run, log.prepared.rows["train"]), flush=True)


def line(name: str, run: Run, rows: int) -> str:
    """Rows a second of the training part of a run's epoch."""
    seconds = run.history[0].seconds
    return f"{name:38}{rows / seconds:14,.0f}{seconds:8.1f}{mean_loss(run):14.5f}"


def mean_loss(run: Run) -> float:
    """Mean log loss of the tasks on the validation rows."""
    losses = [metrics["logloss"] for metrics in run.history[0].val.values()]
    return sum(losses) / len(losses)
