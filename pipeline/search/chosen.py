"""Sentences on the few points that a search chooses: their rivals, and on how far their figures can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from pipeline.comparison.candidates import best_run, pareto_optimal
from pipeline.comparison.confidence import Interval, confidence
from pipeline.comparison.scores import TestRows, computed_scores
from pipeline.evaluation.metrics import Evaluator
from pipeline.runs.plan import BOOSTING, SINGLE_TASK, UNIFORM
from pipeline.runs.run import Run, mean_auc
from pipeline.search.searched import Searched

_NESTED = 10  # points, the best by validation, among which the nested check chooses again


def closing_sentences(searched: Searched, verdicts: Sequence[str]) -> list[str]:
    """What the end of a preset's search says: the choice, the rivals, the curse of the winner, then warnings.

    Args:
        searched: The search.
        verdicts: Sentences on the table; the first one, which looks at test rows, is left out.
    """
    if not searched.chosen:
        return ["No trial is complete: the baselines are all there is; a larger budget goes on.", *verdicts]
    return [
        *_choice(searched),
        _kind(searched),
        *_rivals(searched),
        _curse(searched),
        *nested_check(searched),
        *verdicts[1:],
    ]


def rivals_of(searched: Searched) -> dict[str, list[Interval]]:
    """Each baseline to the intervals of the chosen points' differences in test AUC from it."""
    compared = searched.compared
    found = {name: list(compared.confidence.against(name).values()) for name in compared.baselines}
    if BOOSTING.name in compared.systems:
        systems = {BOOSTING.name: compared.systems[BOOSTING.name]}
        systems |= {point.label: compared.systems[point.label] for point in searched.pareto_front}
        found[BOOSTING.name] = confidence(compared.config.tasks, compared.rows, systems, [BOOSTING.name]).intervals
    labels = {point.label for point in searched.chosen.values()}
    return {rival: [i for i in intervals if i.system in labels] for rival, intervals in found.items()}


def _choice(searched: Searched) -> Iterator[str]:
    chosen = searched.chosen["balanced"]
    yield (
        f"Chosen by validation rows alone: `{chosen.label}`, mean AUC {fmean(chosen.val.values()):.4f} on validation, "
        f"{fmean(chosen.test.values()):.4f} on test."
    )


def _kind(searched: Searched) -> str:
    """Which kind of model the alias `balanced` gets, beside the best network for all tasks."""
    best = min(pareto_optimal(searched), key=lambda one: one.delta_m_pct)
    network = searched.chosen["balanced"].label
    found = f"mean AUC {fmean(best.auc.values()):.4f} on validation, {mean_auc(best.run.test):.4f} on test"
    if not best.run.members:
        return (
            f"One network for all tasks is registered as `balanced`: no bundle, trees or ensemble is better: {found}."
        )
    return f"The {best.system} is registered as `balanced`: {found}. The best network for all tasks is `{network}`."


def _rivals(searched: Searched) -> Iterator[str]:
    """How the chosen point compares with each baseline on the test rows."""
    label = searched.chosen["balanced"].label
    for rival, intervals in rivals_of(searched).items():
        own = [i for i in intervals if i.system == label]
        parts = [f"{i.task or 'average'} {i.delta:+.4f} [{i.low:+.4f}, {i.high:+.4f}]{i.mark}" for i in own]
        yield f"Test AUC against `{rival}`: {', '.join(parts)}."


def _curse(searched: Searched) -> str:
    """The sentence on the optimism of figures that have chosen."""
    complete = [point for point in searched.points if point.state == "complete"]
    chosen = searched.chosen["balanced"]
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
    tasks, rows = searched.config.tasks, TestRows(searched.prepared, split="val")
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
    held = {run.fingerprint: computed_scores(run, rows) for run in runs}
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
