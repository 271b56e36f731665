"""Time and messages of a step on several ranks: ``python -m benchmarks.ranks [--rows 1200000] [--steps 30]``.

A click log is generated and prepared; networks of ``configs/clicklog.toml`` and ``configs/clicklog-wide.toml`` take
steps on batches that are in memory, uniform and with exact GradOPS. One process and two ranks, each with one thread on
a core of its own, are timed:

- ``compute``: processor time of the main thread;
- ``exchange``: processor time of gloo's threads, which share the core with it;
- ``wait``: the rest, in which a rank waits for another one.

``exchange`` and ``wait`` together are what communication exposes. ``model`` is the step that ``gradops plan`` expects,
from costs that it measures for itself, and ``off`` its difference. More ranks than cores are counted only: the
collectives of a step, by kind and by who asks for them, and the bytes that a rank hands in. Times hold on an idle
machine only.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
from collections import Counter
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch.multiprocessing.spawn import start_processes

from benchmarks.ranks.rank import Work, medians, run
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.sources.clicklog import Options, generate
from pipeline.training.rank_plan import RankPlan, plan_of
from pipeline.training.resolve import load_config

ROOT = Path(__file__).parents[2]
SHAPES, METHODS = ("clicklog", "clicklog-wide"), ("uniform", "gradops(alpha=-1)")
PARTS = ("step", "compute", "exchange", "wait")

Found = dict[str, list[dict[str, Any]]]  # of each work, every rank's measurements


def main() -> None:
    """Print a line for each shape, method and number of ranks, then the messages of a step."""
    chosen = _parser().parse_args()
    with TemporaryDirectory(prefix="ranks-") as name:
        folder = Path(name)
        generate(Options(rows=chosen.rows), folder / "log")
        logs = {shape: _prepared(folder, shape, chosen.set) for shape in chosen.shape}
        counted, timed = sorted(chosen.counted), sorted(chosen.ranks)
        found = {ranks: _on_ranks(ranks, _works(folder, logs, chosen, chosen.steps), folder) for ranks in timed}
        if timed:
            _print_times(
                found, {ranks: _expected(ranks, _works(folder, logs, chosen, 0)) for ranks in timed if ranks > 1}
            )
        found |= {ranks: _on_ranks(ranks, _works(folder, logs, chosen, 0), folder) for ranks in counted}
        _print_messages(found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="clicks of the log")
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed")
    parser.add_argument("--ranks", type=int, nargs="*", default=[1, 2], help="numbers of ranks that are timed")
    parser.add_argument("--counted", type=int, nargs="*", default=[4, 8], help="numbers of ranks that are counted only")
    parser.add_argument("--shape", nargs="+", default=SHAPES, help="configs, by the names of their files")
    parser.add_argument("--method", nargs="+", default=METHODS)
    parser.add_argument("--set", nargs="*", default=[], help="further changes of the configs, as KEY=VALUE")
    return parser


def _overrides(folder: Path, *more: str) -> list[str]:
    places = [f"data.train={folder}/log/**/*.parquet", f"data.prepared={folder}/prepared", f"runs={folder}/runs"]
    return [*places, "train.diagnose_every=1000000", *more]


def _prepared(folder: Path, shape: str, more: Sequence[str]) -> Prepared:
    return prepare(load_config(ROOT / "configs" / f"{shape}.toml", _overrides(folder, *more)))


def _works(folder: Path, logs: dict[str, Prepared], chosen: argparse.Namespace, steps: int) -> list[Work]:
    works = []
    for shape, prepared in logs.items():
        for method in chosen.method:
            options = _overrides(folder, f"train.method={method}", *chosen.set)
            config = load_config(ROOT / "configs" / f"{shape}.toml", options)
            works.append(Work(f"{shape}, {method}", config, prepared, steps))
    return works


def _on_ranks(ranks: int, works: Sequence[Work], folder: Path) -> Found:
    """The measurements of a number of ranks, in processes that are started for them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    get_context("forkserver").set_forkserver_preload(["benchmarks.ranks.rank"])  # imported once, not by every rank
    start_processes(run, (ranks, port, folder, works), ranks, start_method="forkserver")
    every = [json.loads((folder / f"{ranks}-{rank}.json").read_text()) for rank in range(ranks)]
    return {work.name: [one[work.name] for one in every] for work in works}


def _expected(ranks: int, works: Sequence[Work]) -> dict[str, RankPlan]:
    return {work.name: plan_of(work.config, work.prepared, ranks) for work in works}


def _print_times(found: dict[int, Found], plans: dict[int, dict[str, RankPlan]]) -> None:
    cores = len(os.sched_getaffinity(0))
    print(f"milliseconds a step, medians, mean of the ranks; {cores} cores")
    headings = (*PARTS, "times", "model", "off")
    print(f"{'':38}{'ranks':>6}{'rows/s':>10}" + "".join(f"{name:>10}" for name in headings))
    first: dict[str, float] = {}
    for ranks, works in found.items():
        for name, measured in works.items():
            parts = [medians(one["steps"]) for one in measured]
            mean = {part: sum(one[part] for one in parts) / ranks for part in PARTS}
            speed = 1000 * measured[0]["rows"] / mean["step"]
            times = speed / first.setdefault(name, speed)
            cells = "".join(f"{mean[part]:10.1f}" for part in PARTS)
            model = [1000 * (plan[name].costs.alone if ranks == 1 else plan[name].step) for plan in _of(plans, ranks)]
            cells += f"{times:10.2f}" + "".join(f"{one:10.1f}{one / mean['step'] - 1:+10.0%}" for one in model)
            print(f"{name:38}{ranks:6}{speed:10,.0f}{cells}", flush=True)


def _of(plans: dict[int, dict[str, RankPlan]], ranks: int) -> list[dict[str, RankPlan]]:
    """The plans of a number of ranks; any has the costs of one process."""
    return [*plans.values()][:1] if ranks == 1 else [plans[ranks]]


def _print_messages(found: dict[int, Found]) -> None:
    print(f"\ncollectives a step and bytes that the first rank hands in\n{'':38}{'ranks':>6}{'calls':>6}{'bytes':>12}")
    for ranks, works in found.items():
        for name, measured in works.items():
            seen = measured[0]["collectives"]
            if not seen:
                continue
            print(f"{name:38}{ranks:6}{len(seen):6}{sum(one['bytes'] for one in seen):12,}")
            for (library, kind, asker), calls in Counter(map(_key, seen)).items():
                size = sum(one["bytes"] for one in seen if _key(one) == (library, kind, asker))
                print(f"    {library or 'ours':9}{kind:15}{calls:16}{size:12,}  {asker}", flush=True)


def _key(one: dict[str, Any]) -> tuple[str, str, str]:
    return one["library"], one["name"], one["asker"]


if __name__ == "__main__":
    main()
