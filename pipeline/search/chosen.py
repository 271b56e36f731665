"""Sentences on the few points that a search chooses: their rivals, and on how far their figures can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean

from pipeline.comparison.candidates import best_run
from pipeline.comparison.cautions import cautions
from pipeline.comparison.chosen_model import ChosenModel
from pipeline.comparison.made_of import validation_rows
from pipeline.comparison.scores import TestRows, scores_of
from pipeline.evaluation.metrics import Evaluator
from pipeline.runs.plan import SINGLE_TASK, UNIFORM
from pipeline.runs.run import Run
from pipeline.search.rivals import Rivals
from pipeline.search.searched import Searched

_NESTED = 10  # points, the best by validation, among which the nested check chooses again


def closing_sentences(searched: Searched, rivals: Rivals) -> list[str]:
    """What the end of a preset's search says: the choice, the rivals, the curse of the winner, then warnings.

    Args:
        searched: The search.
        rivals: Its chosen models against their rivals.
    """
    network = searched.best_network
    if network is None:
        nothing = "No trial is complete: the baselines are all there is; a larger budget goes on."
        return [nothing, *cautions(searched.comparison.findings)]
    chosen, *_ = searched.models
    return [
        f"Chosen by validation rows alone, and registered as `balanced`: {_described(chosen)}.",
        *_safer(searched),
        rivals.verdict(chosen),
        *rivals.sentences(chosen),
        *_beside(searched, rivals),
        _curse(searched, chosen),
        *nested_check(searched),
        *cautions(replace(searched.compared.findings, chosen=network.label)),
    ]


def _safer(searched: Searched) -> Iterator[str]:
    """Why the ensemble or a single candidate is chosen."""
    beside = searched.cross_fitted
    if beside is not None:
        taken = "taken" if beside.is_ensemble_taken else "not taken"
        yield (
            f"The ensemble is {taken}: chosen on one half of the validation rows and judged on the other, its mean AUC "
            f"is {beside.ensemble:.4f}, that of the best single candidate {beside.single:.4f}, with a noise of "
            f"{beside.noise:.4f}: the best of many is partly lucky on the rows that chose it, a mean of many less so."
        )


def _described(model: ChosenModel) -> str:
    kind = "one network for all tasks" if model.is_network else f"made of {len(model.runs)} models"
    aucs = f"mean AUC {fmean(model.val.values()):.4f} on validation, {fmean(model.test.values()):.4f} on test"
    return f"`{model.name}`, {kind}, {aucs}"


def _beside(searched: Searched, rivals: Rivals) -> Iterator[str]:
    """The best network for all tasks, where another model is chosen."""
    for model in searched.models[1:]:
        if searched.best_network is not None and model.trial == searched.best_network.trial:
            verdict = rivals.verdict(model)
            yield f"The best network for all tasks is {_described(model)}. {verdict}"


def _curse(searched: Searched, chosen: ChosenModel) -> str:
    """The sentence on the optimism of figures that have chosen."""
    complete = [point for point in searched.points if point.state == "complete"]
    fall = fmean(chosen.val.values()) - fmean(chosen.test.values())
    uniform = next(row for row in searched.comparison.table("val") if row.system == UNIFORM.name)
    tested = next(row for row in searched.comparison.table("test") if row.system == UNIFORM.name)
    return (
        f"The winner's curse: {len(searched.points)} trials ({len(complete)} complete) stand behind the choice, and "
        f"the best of many is partly lucky on the rows that chose it, so its validation AUC is too high. Its test AUC "
        f"is not: no test row has chosen anything. From validation to test it changes by {-fall:+.4f}, uniform by "
        f"{tested.average - uniform.average:+.4f}."
    )


def nested_check(searched: Searched) -> list[str]:
    """Choose again on the earlier half of the validation rows, and look at the choice on the later half.

    The best points by validation are scored on the validation rows. The one that the earlier half chooses is compared
    on the later half, which has not chosen it, with the baselines and with the best there. Its epoch was chosen on all
    validation rows, as that of every other network. Rows are in the order of the files, which is that of time in a log.
    """
    complete = [point for point in searched.points if point.state == "complete" and point.selected is not None]
    selection = searched.config.train.selection
    ranked = sorted(complete, key=lambda p: (p.selected or 0.0) * (-1 if selection.is_rising else 1))[:_NESTED]
    trials = searched.finished.trials
    runs = {p.label: best_run(trials[p.label], searched.config) for p in ranked if p.label in trials}
    if len(runs) < 2:
        return []
    tasks, rows = searched.config.tasks, validation_rows(searched.prepared)
    halves = {label: _by_half([run], rows, tasks) for label, run in runs.items()}
    rivals = {
        name: _by_half(searched.comparison.systems[name][: 1 if name == UNIFORM.name else len(tasks)], rows, tasks)
        for name in (UNIFORM.name, SINGLE_TASK.name)
    }
    chosen = max(halves, key=lambda label: halves[label][0])
    best = max(halves, key=lambda label: halves[label][1])
    against = ", ".join(f"`{name}` {found[1]:.4f}" for name, found in rivals.items())
    return [
        f"Nested check on {len(runs)} trials: the earlier half of the validation rows chooses `{chosen}`, mean AUC "
        f"{halves[chosen][0]:.4f} there and {halves[chosen][1]:.4f} on the later half; there {against}, and the best "
        f"of these trials `{best}` {halves[best][1]:.4f}."
    ]


def _by_half(runs: Sequence[Run], rows: TestRows, tasks: Sequence[str]) -> tuple[float, float]:
    """Mean AUC over the tasks on the earlier and on the later half of rows, of runs that have the tasks among them."""
    scores = {task: (run, run.tasks.index(task)) for run in runs for task in run.tasks}
    held = {run.fingerprint: scores_of(run, rows) for run in runs}
    labels_NT, half = rows.labels(tasks), len(rows) // 2
    means = []
    for part in (slice(half), slice(half, None)):
        aucs = []
        for place, task in enumerate(tasks):
            run, column = scores[task]
            evaluator = Evaluator([task])
            evaluator.update(labels_NT[part, place, None], held[run.fingerprint][part, column, None])
            aucs.append(evaluator.result()[task]["auc"])
        means.append(fmean(aucs))
    return means[0], means[1]
