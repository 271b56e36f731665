"""Findings of comparisons that never took place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from pipeline.comparison.confidence import Interval
from pipeline.comparison.findings import Findings, Labels
from pipeline.runs.plan import REFERENCES
from pipeline.runs.run import Epoch, Run

ENOUGH = Labels(known=50_000, positives=5_000)
Aucs = Mapping[str, Mapping[str, float]]


def findings(
    aucs: Aucs,
    *,
    noise: float = 0.002,
    labels: Mapping[str, Labels] | None = None,
    gauc: Mapping[str, float] | None = None,
    runs: Mapping[str, Sequence[Run]] | None = None,
) -> Findings:
    """What a comparison would have found.

    Args:
        aucs: System to the AUC of each task, in validation as in test.
        noise: Half the width of each interval.
        labels: Test labels of tasks that have fewer than enough.
        gauc: GAUC of each task, the same for every system.
        runs: Runs of each system; by default one that was trained long enough.
    """
    tasks = list(next(iter(aucs.values())))
    few, within = labels or {}, gauc or {}
    metrics = {
        s: {t: {"auc": a, **({"gauc": within[t]} if within else {})} for t, a in v.items()} for s, v in aucs.items()
    }
    return Findings(
        tasks=tasks,
        metrics={"val": metrics, "test": metrics},
        intervals=_intervals(aucs, tasks, noise),
        labels={"val": dict.fromkeys(tasks, ENOUGH), "test": {task: few.get(task, ENOUGH) for task in tasks}},
        runs={system: (runs or {}).get(system, [run(tasks)]) for system in aucs},
    )


def run(
    tasks: Sequence[str],
    *,
    steps: int = 5_000,
    curve: Sequence[float] = (0.7, 0.71, 0.709),
    weights: Mapping[int, Mapping[str, float]] | None = None,
) -> Run:
    """A run.

    Args:
        tasks: Its tasks.
        steps: Number of its steps.
        curve: Validation AUC of every task after each epoch.
        weights: Step to the weight of each task's gradient, all of them in the last epoch.
    """
    reports = {step: {f"weight.{task}": w for task, w in found.items()} for step, found in (weights or {}).items()}
    history = [
        Epoch(
            number=number,
            step=steps * (number + 1) // len(curve),
            seconds=1.0,
            lr=1e-3,
            losses=dict.fromkeys(tasks, 0.1),
            val={task: {"auc": auc} for task in tasks},
            diagnostics=reports if number == len(curve) - 1 else {},
        )
        for number, auc in enumerate(curve)
    ]
    best = max(history, key=lambda epoch: epoch.mean_auc)
    return Run(Path("run"), list(tasks), "uniform", 0, best.number, best.val, best.val, history)


def _intervals(aucs: Aucs, tasks: Sequence[str], noise: float) -> list[Interval]:
    found = []
    for baseline in (b.name for b in REFERENCES if b.name in aucs):
        for system in aucs:
            for task in [*tasks, None] if system != baseline else []:
                ours, theirs = (fmean(aucs[s].values()) if task is None else aucs[s][task] for s in (system, baseline))
                delta = ours - theirs
                found.append(Interval(system, baseline, task, delta, delta - noise, delta + noise))
    return found
