"""Draw the fronts of docs/results-trial.md into `docs/figures/trial`: `python -m benchmarks.trial.pictures`.

A picture a data set of finished trials: of the best tuned weights, of uniform scaling and of the two methods with the
best validation AUC, every trial's test AUC, and the fronts that validation chooses.
"""

from __future__ import annotations

from statistics import fmean

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.figures import FOLDER
from benchmarks.trial import families as f
from benchmarks.trial.datasets import DATASETS, Dataset
from benchmarks.trial.families import Family
from benchmarks.trial.fronts import Floats, Together, trials
from benchmarks.trial.plan import Plan
from benchmarks.trial.records import Store

_METHODS = 2
_MARGIN = 0.15  # of the fronts' extent: trials that are far below them are left out of the picture


def shown(plan: Plan, dataset: Dataset) -> list[Family]:
    """The families of a picture; none before tuned weights have their trials."""
    tuned = plan.best_tuned(dataset)
    methods = [family for family in f.METHOD_FAMILIES if plan.tried(dataset, family)]
    if tuned is None or not methods:
        return []

    def validation(family: Family) -> float:
        return max(fmean(record.val) for record in plan.tried(dataset, family) if record.val)

    return [f.UNIFORM, tuned, *sorted(methods, key=validation, reverse=True)[:_METHODS]]


def draw(plan: Plan, dataset: Dataset) -> Figure:
    """The picture of a data set."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes, fronts = figure.subplots(), []
    for number, family in enumerate(shown(plan, dataset)):
        found = trials(dataset, plan.tried(dataset, family))
        assert isinstance(found, Together)
        point_N2, front = _plane(found.test_NK), found.front(np.arange(found.number))
        front_F2 = point_N2[front][np.argsort(point_N2[front, 0])]
        fronts.append(front_F2)
        colour, label = f"C{number}", f"{family.name}, {found.volume:.4f}"
        axes.plot(*point_N2.T, "o", color=colour, alpha=0.35, markersize=4, markeredgewidth=0)
        axes.plot(*front_F2.T, "o-", color=colour, markersize=6, linewidth=1, label=label)
    points = np.concatenate(fronts)
    low, high = points.min(axis=0), points.max(axis=0)
    pad = np.maximum(_MARGIN * (high - low), 5e-4)
    axes.set(xlim=(low[0] - pad[0], high[0] + pad[0]), ylim=(low[1] - pad[1], high[1] + pad[1]))
    others = " and ".join(dataset.axes[1:])
    axes.set(xlabel=f"test AUC, {dataset.axes[0]} tasks"[: None if len(dataset.axes) == 2 else -6])
    axes.set(ylabel=f"test AUC, {others} tasks" if len(dataset.axes) == 2 else f"mean test AUC, {others}")
    axes.set(title=f"{dataset.name}: fronts of {f.TRIALS} trials each")
    axes.legend(title="family, hypervolume of its front", fontsize=9, title_fontsize=9)
    return figure


def _plane(test_NK: Floats) -> Floats:
    """The first objective, and the mean of the others."""
    result: Floats = np.column_stack([test_NK[:, 0], test_NK[:, 1:].mean(axis=1)])
    return result


def main() -> None:
    """Draw all pictures."""
    plan = Plan(Store())
    for dataset in DATASETS.values():
        if shown(plan, dataset):
            path = FOLDER / "trial" / f"{dataset.name}.svg"
            with mpl.rc_context({"svg.hashsalt": "gradops", "axes.spines.top": False, "axes.spines.right": False}):
                draw(plan, dataset).savefig(path, metadata={"Date": None}, bbox_inches="tight")
            print(f"{path.name}  {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
