"""Runs what is missing of the fair trial: `python -m benchmarks.trial [--data NAME] [--hours H] [--workers N]`.

`docs/trial-protocol.md` says what is tried, in which order and by which rules it is judged. Each finished run is a line
of `docs/results/trial/DATA/FAMILY.jsonl` at once, and is never made again; several invocations on one machine share the
work. `python -m benchmarks.trial.tables` prints the tables of `docs/results-trial.md` and what is missing. `--debug`
tries every family on few rows, in a folder of its own, in about a minute.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from benchmarks.trial.datasets import DATASETS, MAIN, MissingDataError, log8
from benchmarks.trial.families import EVERY, Family
from benchmarks.trial.plan import FIRST, Plan, Stage, stages
from benchmarks.trial.records import OtherDefinitionError, Store
from benchmarks.trial.training import Bench, Planned


def work(plan: Plan, bench: Bench, wanted: Sequence[Stage], families: Sequence[str], hours: float) -> int:
    """Make the missing runs, stage by stage, each claimed by a lock.

    Args:
        plan: The plan and the finished runs.
        bench: Trains them.
        wanted: The stages.
        families: Names of the families to run; empty for all.
        hours: Hours after which no further run begins.

    Returns:
        The number of runs made.
    """
    end, made, absent = time.monotonic() + 3600 * hours, 0, set[str]()
    (bench.folder / "claims").mkdir(parents=True, exist_ok=True)
    for stage in wanted:
        if stage.dataset.name in absent or not plan.families(stage):
            continue
        try:
            rates = bench.rates(stage.dataset)
        except MissingDataError as error:
            print(f"{stage.dataset.name} is left out: {error}", flush=True)
            absent.add(stage.dataset.name)
            continue
        for family in plan.families(stage):
            _refuse_others(plan, bench, stage, family, rates)
        for planned in _claimed(plan, bench, stage, families):
            if time.monotonic() > end:
                return made
            record = bench.run(planned, rates)
            plan.store.add(planned.dataset, planned.family, record)
            made += 1
            mean = sum(record.val) / len(record.val) if record.val else float("nan")
            print(f"{planned.label} val {mean:.4f} {record.seconds:.1f} s", flush=True)
    return made


def _refuse_others(plan: Plan, bench: Bench, stage: Stage, family: Family, rates: list[float]) -> None:
    """Refuse to count a family's runs that another config, other data or another version of the code has made.

    The first runs of `log8-1` were made before runs had fingerprints: their file's first line alone stands for them.
    """
    for record in plan.store.records(stage.dataset, family):
        planned = Planned(stage.dataset, family, record.trial, record.seed, record.task)
        is_old = not record.depends and stage.dataset is MAIN[0]
        is_of_stage = (record.seed == 0) == (stage.what == "trials")
        if is_of_stage and not is_old and record.depends != bench.depends(planned, rates):
            raise OtherDefinitionError(
                f"{planned.label} was made from another config, other data or by other code: move "
                f"{plan.store.folder / stage.dataset.name}/{family.file}.jsonl away to run anew"
            )


def _claimed(plan: Plan, bench: Bench, stage: Stage, families: Sequence[str]) -> Iterator[Planned]:
    """The missing runs that no other process makes at this moment, each locked while it is used."""
    for planned in list(plan.runs(stage)):
        if families and planned.family.name not in families:
            continue
        try:
            with FileLock(bench.folder / "claims" / f"{planned.label}.lock", timeout=0):
                records = plan.store.records(planned.dataset, planned.family)
                if (planned.trial, planned.seed, planned.task) not in {record.key for record in records}:
                    yield planned
        except Timeout:
            continue


def debug() -> None:
    """Every family on few rows, two trials and one seed."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = log8(1, {"train": 12_000, "val": 12_000, "test": 12_000})
        plan = Plan(Store(Path(folder) / "results"), seeds=(1, 2), trials=2)
        wanted = [Stage(dataset, "trials", FIRST), Stage(dataset, "seeds", FIRST)]
        made = work(plan, Bench(Path(folder) / "work"), wanted, (), 1.0)
        failed = [r for family in FIRST for r in plan.store.records(dataset, family) if r.failed]
        print(f"{made} runs, {len(failed)} of them failed: {[record.failed for record in failed]}")


def main() -> None:
    """Parse the command line and work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help=f"of {', '.join(DATASETS)}; separated by commas; by default all")
    parser.add_argument("--families", default="", help=f"of {', '.join(EVERY)}; separated by commas")
    parser.add_argument("--hours", type=float, default=1e9, help="after which no further run begins")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/trial"), help="for generated and prepared data, and locks"
    )
    parser.add_argument("--debug", action="store_true", help="try everything on few rows")
    arguments = parser.parse_args()
    if arguments.debug:
        debug()
        return
    names, families = arguments.data.split(",") if arguments.data else list(DATASETS), _parts(arguments.families)
    if unknown := [*({*names} - {*DATASETS}), *({*families} - {*EVERY})]:
        parser.error(f"unknown: {', '.join(unknown)}")
    command = [sys.executable, "-m", "benchmarks.trial", *sys.argv[1:], "--workers", "1"]
    others = [subprocess.Popen(command) for _ in range(arguments.workers - 1)]
    wanted = [stage for stage in stages() if stage.dataset.name in names]
    made = work(Plan(Store()), Bench(arguments.folder), wanted, families, arguments.hours)
    for other in others:
        other.wait()
    print(f"{made} runs made by this process")


def _parts(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


if __name__ == "__main__":
    main()
