"""Draw the papers' small problems into `docs/figures`: `python -m benchmarks.figures [NAME ...]`; all take minutes.

The same code and machine give the same bytes: no date, fixed ids. docs/figures/README.md says what each figure shows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.problems import (
    gradops_landscape,
    pcgrad_valley,
    plane,
    quadratics,
    rotograd_mixture,
    rotograd_regressions,
    sinusoids,
)
from benchmarks.problems.rotograd_regressions import CONVEX, COOPERATIVE, MANY_MINIMA
from gradops.methods import GradOPS, PCGrad, Uniform

FOLDER = Path(__file__).parent.parent / "docs" / "figures"
COLOURS = {"sum": "0.35", "pcgrad": "C0", -5.0: "C3", -2.0: "C1", 0.0: "C2", 2.0: "C4"}


def main(names: Sequence[str], folder: Path = FOLDER) -> None:
    """Draw the named figures, or all if none is named.

    Args:
        names: Their names.
        folder: The folder to write to.
    """
    names = names or list(FIGURES)
    if unknown := set(names) - set(FIGURES):
        raise SystemExit(f"A figure should be one of {', '.join(FIGURES)}. Found {', '.join(sorted(unknown))}.")
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / f"{name}.svg"
        _save(FIGURES[name], path)
        print(f"{path.relative_to(folder.parent.parent)}  {path.stat().st_size / 1000:.0f} kB")


def _save(draw: Callable[[], Figure], path: Path) -> None:
    look = mpl.rc_context(
        {
            "svg.hashsalt": "gradops",
            "font.size": 12,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
        }
    )
    with look:
        draw().savefig(path, metadata={"Date": None}, bbox_inches="tight", dpi=100)


def draw_gradops_landscape() -> Figure:
    """Paths of the sum and of every alpha over the total loss; the ends of the paper's steps are dots."""
    figure = Figure(figsize=(6, 10), layout="constrained")
    top, bottom = figure.subplots(2, 1)
    _surface(top, gradops_landscape.losses, (-1.1, 1.1), (-1.1, 1.1), (-7.0, 6.0))
    front = gradops_landscape.front()
    bottom.plot(front[:, 0], front[:, 1], color="0.8", linewidth=8, solid_capstyle="round", label="front of the bowls")
    for start in gradops_landscape.STARTS:
        _landscape_run(top, bottom, plane.plain, "sum", start)
        for alpha in gradops_landscape.ALPHAS:
            _landscape_run(top, bottom, plane.gradops(alpha), alpha, start)
        top.plot(*start, "k*", markersize=10)
    top.set(xlabel="a", ylabel="b", title="GradOPS, appendix B: 20,000 steps")
    bottom.set(xlabel="$L_1$ at the end", ylabel="$L_2$ at the end")
    for label, colour in COLOURS.items():
        if label != "pcgrad":
            bottom.plot([], [], "o", color=colour, label=label if label == "sum" else rf"GradOPS, $\alpha$ = {label:g}")
    bottom.legend(loc="upper right", fontsize=10)
    return figure


def _landscape_run(top: Axes, bottom: Axes, weigh: plane.Weigh, key: str | float, start: plane.Point) -> None:
    path = gradops_landscape.run(weigh, start)
    top.plot(path[:, 0], path[:, 1], color=COLOURS[key], linewidth=1.5)
    end = gradops_landscape.losses(path[-1:, None])[0]
    for axes, (x, y) in ((top, path[-1]), (bottom, end)):
        axes.plot(x, y, "o", color=COLOURS[key], markeredgecolor="white", markersize=8)


def draw_pcgrad_valley() -> Figure:
    """Paths over the total loss, and the second task's loss, which tells how far along the first ravine a run is."""
    figure = Figure(figsize=(6, 10), layout="constrained")
    top, bottom = figure.subplots(2, 1)
    _surface(top, pcgrad_valley.losses, (-3.0, 3.0), (-3.2, 7.0), (-150.0, 60.0))
    methods = {"sum": plane.plain, "pcgrad": plane.pcgrad, -2.0: plane.gradops(-2.0)}
    labels = {"sum": "Adam", "pcgrad": "PCGrad + Adam", -2.0: r"GradOPS, $\alpha$ = -2, + Adam"}
    for key, weigh in methods.items():
        path = pcgrad_valley.run(weigh)[::10]
        steps = 1000 * torch.arange(len(path))
        top.plot(path[:, 0], path[:, 1], color=COLOURS[key], linewidth=1.2, label=labels[key])
        top.plot(*path[-1], "o", color=COLOURS[key], markeredgecolor="white", markersize=8)
        bottom.plot(steps, _smooth(pcgrad_valley.losses(path[:, None])[:, 1], 10), color=COLOURS[key])
    top.plot(*pcgrad_valley.START, "k*", markersize=10)
    top.set(xlabel="a", ylabel="b", title="PCGrad, appendix B: 500,000 updates")
    top.legend(loc="upper right", fontsize=10, frameon=True)
    bottom.set(xlabel="updates", ylabel="$L_2$ (mean of 10,000 updates)")
    bottom.xaxis.set_major_formatter("{x:,.0f}")
    return figure


def draw_sinusoids() -> Figure:
    """Total loss and cosine of the first two tasks, one seed bold and four thin."""
    figure = Figure(figsize=(6, 9), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    for seed in range(5):
        for method, key, label in ((Uniform(), "sum", "Adam"), (PCGrad(), "pcgrad", "PCGrad + Adam")):
            series = sinusoids.run(method, seed)
            look = {"color": COLOURS[key], "linewidth": 2 if seed == 0 else 0.8, "alpha": 1.0 if seed == 0 else 0.5}
            update = torch.arange(0, sinusoids.UPDATES, 4)
            top.semilogy(update, _smooth(series.losses_ST.sum(1), 9)[::4], label=None if seed else label, **look)
            if seed == 0:
                bottom.plot(update, _smooth(series.cosine_STT[:, 0, 1], 25)[::4], **look)
    top.set(ylabel="total loss (mean of 9 updates)", title="PCGrad, section 6.2: ten sinusoids")
    top.legend()
    bottom.axhline(0, color="0.7", linewidth=1)
    bottom.set(xlabel="updates", ylabel="cosine of tasks 1 and 2, seed 0\n(mean of 25 updates)")
    return figure


def draw_quadratics() -> Figure:
    """GradOPS on five quadratics whose gradients all but cancel: which constant steps raise the total loss."""
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    problem = quadratics.Quadratics.star(5)
    least = problem.losses(problem.centre_TP.mean(0)).sum()
    steps = {
        "0.95 / (T L)": 0.95 / 2 * quadratics.safe_step(problem),
        "1.96 / (T L): 2 is the longest safe step": 1.96 / 2 * quadratics.safe_step(problem),
        "1 / L: PCGrad's for two tasks": 1 / problem.lipschitz,
    }
    for (label, step), colour in zip(steps.items(), ("C2", "C0", "C3"), strict=True):
        path = quadratics.run(problem, GradOPS(), step, 12)
        excess = torch.stack([problem.losses(point).sum() for point in path]) - least
        axes.semilogy(excess / excess[0], "o-", color=colour, label=label)
    axes.set(xlabel="updates", ylabel="total loss above its least, start = 1", title="Step sizes, GradOPS, T = 5")
    axes.legend(fontsize=10)
    return figure


def draw_rotograd_regressions() -> Figure:
    """Both losses along every run, ten seeds each: under uniform scaling, and with a cooperative leader."""
    figure = Figure(figsize=(6, 8), layout="constrained")
    for axes, problem, name in zip(
        figure.subplots(2, 1), (CONVEX, MANY_MINIMA), ("convex", "many minima"), strict=True
    ):
        for text, colour, label in (("uniform", "0.35", "uniform"), (COOPERATIVE, "C3", "RotoGrad v1, cooperative")):
            for seed in range(10):
                losses_ST = rotograd_regressions.run(problem, text, seed)[1][::4] - problem.least
                steps = 4 * torch.arange(len(losses_ST))
                worse_S = losses_ST.max(1).values.clamp(min=1e-4)
                axes.semilogy(steps, worse_S, color=colour, linewidth=0.9, label=None if seed else label)
        axes.set(xlabel="steps", ylabel="worse task, above its optimum", title=f"RotoGrad, appendix B: {name}")
        axes.set(ylim=(5e-5, 30))
        axes.legend(loc="lower left", fontsize=10)
    return figure


def draw_rotograd_mixture() -> Figure:
    """Test accuracy of both tasks, three seeds: one head answers a question and its opposite once it is rotated."""
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    for text, colour, label in (("uniform", "0.35", "uniform"), ("rotograd", "C3", "RotoGrad")):
        for seed in range(3):
            accuracy_ET = rotograd_mixture.run(text, seed)
            for task, style in enumerate(("-", "--")):
                named = None if seed else f"{label}, task {task + 1}"
                axes.plot(1 + torch.arange(len(accuracy_ET)), accuracy_ET[:, task], style, color=colour, label=named)
    for best in rotograd_mixture.best_accuracy():
        axes.axhline(best, color="0.8", linewidth=4, zorder=0)
    axes.set(xlabel="epochs", ylabel="test accuracy (thick: Bayes)", title="RotoGrad, appendix B: opposite tasks")
    axes.set(ylim=(0, 1))
    axes.legend(fontsize=10, ncols=2)
    return figure


def _surface(
    axes: Axes,
    losses: Callable[[Tensor], Tensor],
    wide: tuple[float, float],
    high: tuple[float, float],
    shown: tuple[float, float],
) -> None:
    """Draw the total loss in grey, as pixels: as paths it would take megabytes."""
    a, b = torch.linspace(*wide, 200).double(), torch.linspace(*high, 200).double()
    total = losses(torch.cartesian_prod(a, b)[:, None]).sum(1).view(len(a), len(b))
    box = (*wide, *high)
    axes.imshow(total.T, extent=box, origin="lower", aspect="auto", cmap="Greys_r", vmin=shown[0], vmax=shown[1])
    axes.set(xlim=wide, ylim=high)


def _smooth(values: Tensor, width: int) -> Tensor:
    """The mean over a window, which is shorter at both ends."""
    sums = torch.nn.functional.avg_pool1d(
        values[None, None], width, stride=1, padding=width // 2, count_include_pad=False
    )
    return sums[0, 0, : len(values)]


FIGURES: dict[str, Callable[[], Figure]] = {
    "gradops_landscape": draw_gradops_landscape,
    "pcgrad_valley": draw_pcgrad_valley,
    "sinusoids": draw_sinusoids,
    "quadratics": draw_quadratics,
    "rotograd_regressions": draw_rotograd_regressions,
    "rotograd_mixture": draw_rotograd_mixture,
}


if __name__ == "__main__":
    main(sys.argv[1:])
