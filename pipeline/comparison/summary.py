"""A comparison or a search in plain language: what training together does to each task, and which version to serve.

Every figure is a difference in test AUC from one model a task, with its interval; choices are by validation rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.comparison.confidence import BETTER, WORSE, Interval
from pipeline.comparison.findings import Findings
from pipeline.comparison.result_file import ComparisonFile, StudyFile
from pipeline.runs.plan import SINGLE_TASK, System

File = ComparisonFile | StudyFile
Aucs = Mapping[str, Mapping[str, float]]


def summary(file: File) -> list[str]:
    """Sentences for somebody who knows nothing of methods; none for results without intervals or without a method."""
    choice = chosen(file)
    if choice is None or not (found := against_single(file, choice)):
        return []
    return [effect(choice, found), _serve(file, choice)]


def chosen(file: File) -> str | None:
    """The system that the result's first verdict takes: that of a search's preset, or :attr:`Findings.choice`."""
    if isinstance(file, StudyFile) and file.chosen:
        return file.chosen[0].name
    splits = {split: _aucs(file, split) for split in ("val", "test")}
    metrics = {
        split: {system: {task: {"auc": auc} for task, auc in of_tasks.items()} for system, of_tasks in found.items()}
        for split, found in splits.items()
    }
    findings = Findings(file.tasks, metrics, file.intervals, file.labels, {})
    return findings.choice if findings.methods else None


def against_single(file: File, system: str) -> dict[str, Interval]:
    """Task to a system's difference in test AUC from the task's own model; tasks without an interval are left out."""
    known = [*file.intervals, *(file.against_rivals if isinstance(file, StudyFile) else [])]
    found = {i.task: i for i in known if (i.system, i.against) == (system, SINGLE_TASK.name)}
    return {task: found[task] for task in file.tasks if task in found}


def effect(system: str, found: Mapping[str, Interval]) -> str:
    """What a system does to each task, in one sentence.

    Args:
        system: The system.
        found: Task to its difference from the task's own model.
    """
    subject = "Training together" if _is_network(system) else f"`{system}`"
    sides = {mark: [i for i in found.values() if i.mark == mark] for mark in (BETTER, WORSE, "")}
    parts = [
        *([f"helps {_listed(sides[BETTER])}"] if sides[BETTER] else []),
        *([f"costs {_listed(sides[WORSE])}"] if sides[WORSE] else []),
        *([f"leaves {_listed(sides[''])} within noise"] if sides[""] else []),
    ]
    return f"{subject} {_and(parts)}, in test AUC against one model a task."


def _listed(intervals: Sequence[Interval]) -> str:
    return _and([_figure(i) for i in intervals])


def _figure(interval: Interval) -> str:
    """A gain or a loss as a positive number; what may be either with its sign."""
    if not interval.mark:
        return f"{interval.task} ({interval.delta:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}])"
    size, *ends = (abs(value) for value in (interval.delta, interval.low, interval.high))
    return f"{interval.task} by {size:.4f} [{min(ends):.4f}, {max(ends):.4f}]"


def _and(parts: Sequence[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _serve(file: File, choice: str) -> str:
    others = ", ".join(
        f"`{system}` if {' or '.join(tasks)} counts most" for system, tasks in _others(file, choice).items()
    )
    return f"`{choice}` is the version to serve if all tasks count alike{', ' if others else ''}{others}."


def _others(file: File, choice: str) -> dict[str, list[str]]:
    """The other systems that validation finds best for a task, each with its tasks."""
    found: dict[str, list[str]] = {}
    for task, system in _best(file).items():
        if system != choice:
            found.setdefault(system, []).append(task)
    return found


def _best(file: File) -> dict[str, str]:
    """Task to the system with the highest validation AUC: as a preset's search has chosen, else among the networks."""
    if isinstance(file, StudyFile) and file.chosen:
        aliases = {alias: model.name for model in file.chosen for alias in model.aliases}
        return {task: aliases[f"best-{task}"] for task in file.tasks}
    aucs = {system: auc for system, auc in _aucs(file, "val").items() if _is_network(system)}
    return {task: max(aucs, key=lambda system: aucs[system][task]) for task in file.tasks}


def _aucs(file: File, split: str) -> Aucs:
    """System to the mean AUC of each task; empty for studies of before their files had it."""
    if split in file.metrics:
        found = file.metrics[split]
        return {system: {task: of_task["auc"] for task, of_task in auc.items()} for system, auc in found.items()}
    if isinstance(file, StudyFile):
        return {}
    return {row.system: row.auc for row in (file.val if split == "val" else file.test)}


def _is_network(system: str) -> bool:
    return System.named(system).kind == "method"
