"""The tables of docs/results-best.md, from the files of finished searches: `python -m benchmarks.best FILE ...`.

Each FILE is the study file that `gradops search --preset best` names at its end. The first table has the test AUC of
the chosen model, of the best network for all tasks and of their rivals, and the intervals of the differences; the
second one what the prescribed trials gave, each of which changes one thing of the config as it is written, by
validation and by test rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.markdown import head, row
from pipeline.comparison.point import Point
from pipeline.comparison.result_file import StudyFile, load_result_file

_MOST_CHANGES = 3  # of a prescribed trial: an optimizer comes with its rate, an architecture with its sizes


def tables(path: Path) -> Iterator[str]:
    """The lines of both tables of a search.

    Args:
        path: Its study file.
    """
    file = load_result_file(path)
    assert isinstance(file, StudyFile), f"{path} is of a comparison"
    counts = {t: f"{file.labels['test'][t].positives:,}" for t in file.tasks}
    yield f"### {file.name}"
    yield ""
    complete = sum(point.state == "complete" for point in file.points)
    rows = ", ".join(f"{split} {number:,}" for split, number in file.rows.items())
    yield f"Rows: {rows}; positive test rows: {', '.join(f'{t} {n}' for t, n in counts.items())}."
    yield f"{len(file.points)} trials, {complete} of them complete."
    yield ""
    yield from _rivals(file)
    yield ""
    yield from _changes(file)
    yield ""


def _rivals(file: StudyFile) -> Iterator[str]:
    yield from head(["test AUC", *file.tasks, "mean"])
    for rival in file.baselines:
        yield _aucs(rival, {task: file.metrics["test"][rival][task]["auc"] for task in file.tasks})
    for model in file.chosen:
        yield _aucs(f"**{model.name}** ({model.role})", model.test)
    for model in file.chosen:
        for rival in file.baselines:
            own = {i.task: i for i in file.against_rivals if (i.system, i.against) == (model.name, rival)}
            if own and (model is file.chosen[0] or "network" in model.aliases):
                cells = [str(own[task]) for task in [*file.tasks, None]]
                yield row([f"{model.name.partition(':')[0]} less {rival}", *cells])


def _changes(file: StudyFile) -> Iterator[str]:
    first = next((p for p in file.points if p.trial == 0 and p.state == "complete"), None)
    if first is None:
        return
    yield from head(["one change", *[f"{task}, test" for task in file.tasks], "validation, mean", "test, mean"])
    yield row(
        [
            "as written",
            *[f"{first.test[t]:.4f}" for t in file.tasks],
            f"{_mean(first.val):.4f}",
            f"{_mean(first.test):.4f}",
        ]
    )
    for point in file.points:
        if point is not first and len(point.params) <= _MOST_CHANGES:
            yield _change(point, first, file.tasks)


def _change(point: Point, first: Point, tasks: Sequence[str]) -> str:
    name = point.name.removeprefix("uniform, ")
    if point.state != "complete":
        return row([name, f"{point.state}: {point.reason}"])
    cells = [f"{point.test[t] - first.test[t]:+.4f}" for t in tasks]
    means = [_mean(point.val) - _mean(first.val), _mean(point.test) - _mean(first.test)]
    return row([name, *cells, *(f"{mean:+.4f}" for mean in means)])


def _aucs(name: str, auc: dict[str, float]) -> str:
    return row([name, *(f"{value:.4f}" for value in auc.values()), f"{_mean(auc):.4f}"])


def _mean(auc: dict[str, float]) -> float:
    return fmean(auc.values())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, nargs="+", help="study file of a finished search")
    for path in parser.parse_args().file:
        print("\n".join(tables(path)))


if __name__ == "__main__":
    main()
