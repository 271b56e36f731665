"""The search of the best model or of the trade-off curve: `gradops search configs/census.toml --budget 30m`.

The same command in another process, or on another machine, joins the same study.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jobs.closing import closing_lines, show_lines, show_registered
from jobs.console import AsJson, Config, Overrides, err, out, show
from jobs.gauc import show_gauc
from jobs.searching import SearchDisplay, in_short
from jobs.tables import Figures

if TYPE_CHECKING:
    from pipeline.config.run import RunConfig
    from pipeline.registry.register import Registered
    from pipeline.search.searched import Searched

_NEXT = 5  # choices to come that the end names


def main(
    config: Config,
    overrides: Overrides,
    preset: Annotated[
        Literal["best"] | None,
        typer.Option(
            help="A space of everything that decides how good a model is; replaces the config's section search.",
            show_default="if there is no [search]: best",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Time for the whole search, as 90s, 30m or 2h.", show_default="30m with the preset"),
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Number of points.", min=1, show_default="the config's")] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Number of runs of each point.", min=1, show_default="the config's")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Number of worker processes of this command; 0: one a core.", show_default="the config's"),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="URL of the study's database or gRPC proxy.", show_default="the config's"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search the best model within a budget, or the trade-off curve; register the best; commands can share a study."""
    begun = time.monotonic()
    from pipeline.config.toml import read_config

    chosen = {"trials": trials, "seeds": seeds, "workers": workers}
    options = [f"search.{key}={value}" for key, value in chosen.items() if value is not None]
    options += [f'search.{key}="{text}"' for key, text in {"budget": budget, "storage": storage}.items() if text]
    changes = changes_of(config, overrides, preset, options)
    # Written at once: the libraries that train take seconds to import.
    err.print(_beginning(read_config(config, changes)), highlight=False, markup=False, soft_wrap=True)

    from jobs.preparing import prepared_with_bars
    from jobs.progress import TrainingProgress, check_resources
    from pipeline.comparison.comparison import plan_boosting, plan_networks
    from pipeline.comparison.verdicts import verdicts
    from pipeline.search.search import Search
    from pipeline.search.study import Study
    from pipeline.training.resolve import load_config

    loaded = load_config(config, changes)
    prepared = prepared_with_bars(loaded)
    search = Search(loaded, prepared, Study(loaded, prepared), begun)
    planned = [*plan_networks(search.compared), *plan_boosting(search.compared)]
    check_resources(plan_networks(search.compared), prepared, loaded.search.workers)
    places = math.inf if loaded.search.preset else search.study.places
    bars = TrainingProgress(planned)
    display = SearchDisplay(loaded.tasks, places, bars, is_live=loaded.search.seconds is not None)
    with bars, display:
        searched, registered = search.run([bars], display.on_points, display.on_progress)
    found = searched.sentences if loaded.search.preset else verdicts(searched.compared.findings)
    lines = closing_lines(registered, found, loaded.gate, config, overrides)
    _show(searched, registered, lines, as_json)
    if (searched.waiting or loaded.search.preset) and not as_json:
        _show_waiting(searched, config)


def changes_of(config: Path, overrides: Sequence[str], preset: str | None, options: Sequence[str]) -> list[str]:
    """All overrides of a config: those of the user, and before them the preset if it takes the place of `[search]`.

    Args:
        config: The config's file.
        overrides: The overrides that the user gave.
        preset: The preset that the user gave, which replaces a section `[search]`.
        options: Overrides by the command's own options.
    """
    from pipeline.config.toml import read_config

    if preset or "search" not in read_config(config, overrides).model_fields_set:
        return [f'search={{preset="{preset or "best"}"}}', *overrides, *options]
    return [*overrides, *options]


def _beginning(config: RunConfig) -> str:
    """What the command will do, in a sentence."""
    search = config.search
    if not search.preset:
        limit = f", for at most {search.budget}" if search.budget else ""
        return f"{config.name}: search of {search.trials} points of {', '.join(search.methods)}{limit}"
    seeds = f", {search.seeds} seeds each" if search.seeds > 1 else ""
    workers = f"{search.workers} at a time" if search.workers else "one on each core"
    limit = (
        f"for {search.budget}, the baselines included (--budget changes it)" if search.budget else "without a budget"
    )
    return (
        f"{config.name}: search by the preset `{search.preset}` {limit}: single-task models, uniform scaling"
        f"{' and boosting' if config.compare.boosting else ''}, then trials, {workers}{seeds}. "
        "It goes on where it stopped, and chooses by validation rows alone."
    )


def _show(searched: Searched, registered: Registered, lines: list[str], as_json: bool) -> None:
    data = {"front": [asdict(point) for point in searched.pareto_front], "trials": len(searched.points)}
    data |= {"study": searched.path, "model": searched.config.name, "aliases": registered.aliases, "verdicts": lines}
    if searched.config.search.preset:
        data |= {"chosen": [asdict(model) for model in searched.models]}
    show(_table(searched), data, as_json)
    if as_json:
        return
    show_gauc(searched.compared)
    if searched.config.search.preset and searched.models:
        out.print(_chosen_table(searched))
    if not registered.aliases:
        out.print("nothing is registered: no point is complete and keeps to `search.not_below_single_task`")
    else:
        show_registered(registered)
    out.print(f"every point: {searched.path}", highlight=False, soft_wrap=True)
    show_lines(lines)


def _table(searched: Searched) -> Figures:
    """The Pareto front, from the lowest Δm% up, below the baselines that it is compared with."""
    rows = [(row.system, row.auc, row.delta_m_pct, row.deviation) for row in searched.comparison.table("val")]
    drops = {one.system: one.delta_m_pct for one in searched.candidates()}
    points = sorted(((drops[p.name], p) for p in searched.pareto_front), key=lambda pair: pair[0])
    rows += [(f"{p.trial}: {p.name}", p.val, drop, p.val_sd) for drop, p in points]
    seeds = searched.config.search.seeds
    spread = f", mean ± sd of {seeds} seeds" if seeds > 1 else f", seed {searched.config.train.seed}"
    title = f"{searched.config.name}: front of {len(searched.points)} trials by validation AUC{spread}"
    table = []
    for name, auc, drop, spreads in rows:
        aucs = [f"{auc[t]:.4f}" + (f" ± {spreads[t]:.4f}" if spreads else "") for t in searched.config.tasks]
        table.append([name, *aucs, f"{mean(auc.values()):.4f}", f"{drop:+.2f}"])
    return Figures(["trial", *searched.config.tasks, "average", "Δm% (drop)"], table, title)


def _chosen_table(searched: Searched) -> Figures:
    """The baselines and the chosen few: validation AUC, which has chosen, beside test AUC, which has not."""
    tasks = searched.config.tasks
    splits = {split: {row.system: row.auc for row in searched.comparison.table(split)} for split in ("val", "test")}
    rows = [(name, splits["val"][name], splits["test"][name]) for name in splits["val"]]
    rows += [(f"{model.name} ({model.role})", model.val, model.test) for model in searched.models]
    cells = [
        [name, *(f"{val[t]:.4f} → {test[t]:.4f}" for t in tasks), f"{_mean(val, tasks)} → {_mean(test, tasks)}"]
        for name, val, test in rows
    ]
    return Figures(["chosen by validation", *tasks, "average"], cells, "AUC on validation → on test")


def _mean(auc: dict[str, float], tasks: Sequence[str]) -> str:
    return f"{mean(auc[task] for task in tasks):.4f}"


def _show_waiting(searched: Searched, config: Path) -> None:
    """What a larger budget would still try."""
    coming = "; ".join([*map(in_short, searched.waiting[:_NEXT]), "choices of the sampler"])
    out.print(
        f"\nstill to try with a larger budget ({config}, --budget): {coming}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
