"""Warnings on the figures of a comparison or a search, each with the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from statistics import fmean

from pipeline.comparison.findings import Findings, worse_than_single
from pipeline.evaluation.standard_error import auc_standard_error
from pipeline.runs.plan import BOOSTING, REFERENCES
from pipeline.runs.run import Run

FEW_LABELS = 100  # an AUC of 0.75 then has a standard error of 0.028: methods differ by far less
FEW_STEPS = 1000
RISING = 0.001  # validation AUC won in the last epoch
HEAVY = 1000.0  # weight of a task's gradient; under `uniform` it is 1
_TWO_SIDED = 1.96
_TELLING = 0.55  # an AUC from which on it is compared with GAUC


def cautions(findings: Findings) -> list[str]:
    """Warnings, the gravest first."""
    kinds = (_few_labels, _too_few_steps, _below_single_task, _below_boosting, _heavy_weights, _within_groups)
    return [sentence for kind in kinds for sentence in kind(findings)]


def _few_labels(findings: Findings) -> Iterator[str]:
    for task, labels in findings.labels["test"].items():
        if labels.rarer < FEW_LABELS:
            auc = findings.metrics["test"][findings.choice][task]["auc"]
            error = _TWO_SIDED * auc_standard_error(auc, labels.positives, labels.known - labels.positives)
            counts = f"{labels.positives:,} positives among {labels.known:,} test rows"
            yield f"{task} has {counts}: its AUC of {auc:.4f} is known to ±{error:.3f} at best; hold out more rows."
    for task, labels in findings.labels["val"].items():
        if labels.rarer < FEW_LABELS:
            counts = f"{labels.positives:,} positives among {labels.known:,} validation rows"
            yield f"{task} has {counts}: epochs and models are chosen by noise; hold out more rows."


def _too_few_steps(findings: Findings) -> Iterator[str]:
    runs = [run for run in findings.runs[findings.choice] if run.history]
    if not runs:
        return
    steps, gain = min(run.history[-1].step for run in runs), fmean(map(_last_gain, runs))
    reasons = [f"{steps:,} steps"] if steps < FEW_STEPS else []
    if gain > RISING:
        reasons.append(f"validation AUC still rose by {gain:.4f} in the last of {len(runs[0].history)} epochs")
    if reasons:
        fix = "raise `train.epochs` or lower `train.batch_size`"
        yield f"`{findings.choice}` may be trained too little ({', '.join(reasons)}); {fix}."


def _last_gain(run: Run) -> float:
    """The rise of the validation AUC in the last epoch, if that is the best one; else 0."""
    if len(run.history) < 2 or run.best_epoch != run.history[-1].number:
        return 0.0
    return run.history[-1].mean_auc - run.history[-2].mean_auc


def _below_single_task(findings: Findings) -> Iterator[str]:
    for task in findings.tasks:
        if (drop := worse_than_single(findings, findings.choice, task)) is not None:
            below = [s for s in findings.methods if worse_than_single(findings, s, task)]
            below_it = f"methods below it: {len(below)} of {len(findings.methods)}"
            ends = f"interval {drop.low:+.4f} to {drop.high:+.4f}; {below_it}"
            found = f"`{findings.choice}` is {-drop.delta:.4f} AUC below the single-task model of {task}"
            yield f"{found}, beyond noise ({ends})."


def _below_boosting(findings: Findings) -> Iterator[str]:
    test, lost = findings.metrics["test"], []
    for task in findings.tasks if BOOSTING.name in test else ():
        best = max(findings.methods, key=lambda system: test[system][task]["auc"])
        boosted, ours = test[BOOSTING.name][task]["auc"], test[best][task]["auc"]
        beyond = [i for baseline in REFERENCES if (i := findings.against(BOOSTING.name, baseline, task)) is not None]
        if boosted > ours and beyond and beyond[0].low > 0:
            above = f"beyond noise above `{beyond[0].against}`"  # the intervals are against it, not the best method
            lost.append(f"{task} {boosted:.4f} (best method: `{best}` {ours:.4f}; {above})")
    if lost:
        yield f"Boosting has a higher test AUC than every method on {', '.join(lost)}."


def _heavy_weights(findings: Findings) -> Iterator[str]:
    for system in findings.methods:
        epochs = (epoch for run in findings.runs[system] for epoch in run.history)
        weights = [
            (abs(report.get(f"weight.{task}", 0.0)), step, task)
            for epoch in epochs
            for step, report in epoch.diagnostics.items()
            for task in findings.tasks
        ]
        weight, step, task = max(weights, default=(0.0, 0, ""))
        if weight > HEAVY:
            found = f"`{system}` gave the gradient of {task} a weight of {weight:.2g} at step {step:,}"
            fix = "look at its weights over the steps before you serve it, or try it with `+ bound(10)`"
            yield f"{found} (under `uniform` it is 1): {fix}."


def _within_groups(findings: Findings) -> Iterator[str]:
    for task in findings.tasks:
        metrics = findings.metrics["test"][findings.choice][task]
        auc, gauc = metrics["auc"], metrics.get("gauc", float("nan"))
        if isnan(gauc) or findings.labels["test"][task].rarer < FEW_LABELS:
            continue
        if auc >= _TELLING and gauc - 0.5 < (auc - 0.5) / 2:
            words = "it tells groups apart more than the rows of one group"
            yield f"{task}: AUC {auc:.4f}, but GAUC {gauc:.4f} within the groups of `spec.group`: {words}."
        elif gauc >= _TELLING and auc - 0.5 < (gauc - 0.5) / 2:
            words = "it ranks the rows of one group better than it compares groups"
            yield f"{task}: AUC {auc:.4f}, but GAUC {gauc:.4f} within the groups of `spec.group`: {words}."
