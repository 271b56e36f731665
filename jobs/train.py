"""One training run: `gradops train configs/census.toml --set train.method='gradops(alpha=-2)'`.

On several ranks: `torchrun --nproc-per-node 2 -m jobs train configs/clicklog.toml`.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict
from runpy import run_module
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.console import AsJson, Config, Overrides, locked, show

if TYPE_CHECKING:
    from pipeline.config.run import RunConfig
    from pipeline.data.prepared import Prepared
    from pipeline.runs.plan import Callback, PlannedRun


def main(
    config: Config,
    overrides: Overrides,
    as_json: AsJson = False,
    checked: Annotated[
        bool, typer.Option("--checked", help="Under torchrun, check in every step that all ranks have equal values.")
    ] = False,
) -> None:
    """Train one model, unless it is trained already, and record it in MLflow; torchrun spreads it over ranks."""
    from jobs.preparing import prepared_with_bars
    from jobs.progress import check_resources
    from pipeline.runs.plan import PlannedRun, System
    from pipeline.training.distributed import on_first, once, rank_group
    from pipeline.training.resolve import load_config
    from pipeline.training.runner import find_or_train

    loaded = load_config(config, overrides)
    prepared = prepared_with_bars(loaded)  # the first rank to arrive prepares the data; the others wait
    planned = [PlannedRun(System(loaded.train.method), loaded)]
    with rank_group(checked=checked) as group, ExitStack() as stack:
        resources = once(lambda: check_resources(planned, prepared, workers=1), group)
        stack.enter_context(on_first(lambda: locked(loaded), group))
        is_first = group.rank == 0
        callbacks = _callbacks(loaded, prepared, planned, stack) if is_first else []
        (run,) = find_or_train(planned, prepared, callbacks, 1, group)
    if is_first:
        lines = [
            f"{task}: test AUC {run.test[task]['auc']:.4f}, validation {run.val[task]['auc']:.4f}" for task in run.tasks
        ]
        data = {"folder": run.folder, "test": run.test, "val": run.val, "bytes": asdict(resources.run)}
        show("\n".join([str(run.folder), *lines]), data, as_json)


def _callbacks(config: RunConfig, prepared: Prepared, planned: list[PlannedRun], stack: ExitStack) -> list[Callback]:
    """The callbacks that record the run in MLflow and show its progress."""
    from jobs.progress import TrainingProgress
    from pipeline.tracking.tracker import Tracker

    tracker = stack.enter_context(Tracker.open(config, prepared))
    return [stack.enter_context(TrainingProgress(planned)), tracker]


if __name__ == "__main__":  # `-m jobs.train CONFIG`, the older form, which stands in crontabs
    sys.argv.insert(1, "train")
    run_module("jobs", run_name="__main__")
