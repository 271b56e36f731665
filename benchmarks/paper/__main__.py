"""The runs of the GradOPS paper's table 1, over as many days as it takes: `python -m benchmarks.paper [--table]`.

A run takes a quarter to half an hour of a core; the config's `compare.workers` is the number of runs at the same time,
by default one a core. Each finished run leaves a small file of its figures in the folder of records,
docs/results/census-paper, which is committed: a run with such a file is done, also in a clone without `runs/`. A file
of another config, of other data or of another format of runs does not count, and is named with what differs. Seed 0 of
the six systems whose seeds are repeated comes first, then seed 0 of the others, then the other seeds of the six.
Interrupted, the same command goes on from the last checkpoints. After each run it writes the tables of all finished
ones beside their files, tables.md; `--table` prints them and trains nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks.paper.record import Record, find_record, others
from benchmarks.paper.table import Finished, one_seed, over_seeds, papers_rows
from jobs.console import locked
from pipeline.comparison.comparison import plan_networks
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.files.atomic import atomic
from pipeline.runs.plan import PlannedRun
from pipeline.runs.run import Epoch, Run
from pipeline.runtime.signals import INTERRUPTED
from pipeline.training.resolve import load_config
from pipeline.training.runner import find_or_train

REPEATED = ("uniform", "single-task", "gradops(alpha=-1.0)", "pcgrad", "gradops(alpha=0.0)", "gradops(alpha=-3.0)")
TABLES = "tables.md"
PAPER = Path(__file__).parents[2] / "tests" / "data" / "gradops_table1_census.csv"


def plan(config: RunConfig) -> list[PlannedRun]:
    """The runs, part by part: every system at the first seed, the repeated ones at all seeds."""
    first = config.train.seed
    wanted = (p for p in plan_networks(config) if p.config.train.seed == first or str(p.system) in REPEATED)
    return sorted(wanted, key=part)


def part(planned: PlannedRun) -> tuple[int, bool]:
    """The part of the plan that a run is in: its seed, and whether its system has the first seed alone."""
    return planned.config.train.seed, str(planned.system) not in REPEATED


@dataclass(frozen=True)
class Report:
    """Says how the runs go, and writes the record of each that ends. A :class:`pipeline.runs.plan.Callback`.

    Args:
        config: The config of all runs.
        prepared: Their data.
        folder: Folder of the records.
    """

    config: RunConfig
    prepared: Prepared
    folder: Path

    def on_epoch(self, planned: PlannedRun, epoch: Epoch) -> None:
        """Print the tenth, twentieth, ... epoch."""
        if (epoch.number + 1) % 10 == 0:
            aucs = ", ".join(f"{task} {metrics['auc']:.4f}" for task, metrics in epoch.val.items())
            say(f"{planned.label}: epoch {epoch.number + 1}, {epoch.seconds:.1f} s, validation AUC {aucs}")

    def on_run_end(self, planned: PlannedRun, run: Run, reused: bool) -> None:
        """Print the run's end, write its record, and write the tables anew."""
        how = "found done in runs" if reused else f"best epoch {run.best_epoch + 1}"
        aucs = ", ".join(f"{task} {metrics['auc']:.4f}" for task, metrics in run.test.items())
        say(f"{planned.label}: {how}, test AUC {aucs}")
        say(f"wrote {Record.of(planned, run, self.prepared).save(self.folder)}")
        write_tables(self.config, finished(self.config, self.prepared, self.folder), self.folder)


def finished(config: RunConfig, prepared: Prepared, folder: Path) -> list[Record]:
    """The records of the planned runs that are there; a record of another run of the same name is named.

    Raises:
        InputError: If a record is damaged.
    """
    records = []
    for planned in plan(config):
        if (record := find_record(folder, planned, prepared)) is not None:
            records.append(record)
        else:
            for sentence in others(folder, planned, prepared):
                say(sentence)
    return records


def train_missing(config: RunConfig, prepared: Prepared, folder: Path) -> None:
    """Find or train every planned run without a record, part by part, and write its record and the tables.

    As many runs of a part go at the same time as the config's `compare.workers` says; the next part begins when they
    have ended.

    Raises:
        InputError: If a record is damaged, or as :func:`pipeline.training.training.train`.
        LostWorkerError: If one of several workers was killed.
    """
    report = Report(config, prepared, folder)
    for _, of_part in groupby(plan(config), key=part):
        missing = [planned for planned in of_part if find_record(folder, planned, prepared) is None]
        find_or_train(missing, prepared, [report], config.compare.workers)


def write_tables(config: RunConfig, records: Sequence[Record], folder: Path) -> None:
    """Write the tables beside the records."""
    with atomic(folder / TABLES) as draft:
        draft.write_text("\n".join([f"# {config.name}", "", *tables(config, records)]) + "\n")


def tables(config: RunConfig, records: Sequence[Record]) -> list[str]:
    """The tables as Markdown, then the runs that are missing."""
    planned = plan(config)
    systems = list(dict.fromkeys(str(p.system) for p in plan_networks(config)))
    found = Finished.of(config.tasks, systems, records)
    paper = papers_rows(PAPER) if config.name == "census-paper" else {}
    done = {record.label for record in records}
    missing = [p.label for p in planned if p.label not in done]
    lines = [*one_seed(found, config.train.seed, paper), "", *over_seeds(found), ""]
    versions = sorted({", ".join(f"{p} {v}" for p, v in record.versions.items()) for record in records})
    hours = sum(record.seconds for record in records) / 3600
    lines += [f"{len(records)} of {len(planned)} runs, {hours:.1f} hours of training. {'; '.join(versions)}"]
    return lines + ([f"Missing: {', '.join(missing)}."] if missing else [])


def say(sentence: str) -> None:
    """Print a line of progress with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {sentence}", file=sys.stderr, flush=True)


def main() -> None:
    """Train the missing runs and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", type=Path, nargs="?", default=Path("configs/census-paper.toml"))
    parser.add_argument("--folder", type=Path, help="folder of the records; docs/results/NAME by default")
    parser.add_argument("--table", action="store_true", help="train nothing: print the tables of the finished runs")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of the config")
    arguments = parser.parse_args()
    config = load_config(arguments.config, arguments.set)
    prepared, folder = prepare(config), arguments.folder or Path("docs/results") / config.name
    if not arguments.table:
        try:
            with locked(config):
                train_missing(config, prepared, folder)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
    records = finished(config, prepared, folder)
    print("\n".join(tables(config, records)))


if __name__ == "__main__":
    main()
