"""The search of the trade-off curve: `gradops search configs/census.toml`.

The same command in another process, or on another machine, joins the same study.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from statistics import mean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.closing import closing_lines, show_lines, show_registered
from jobs.console import AsJson, Config, Overrides, err, out, show
from jobs.gauc import show_gauc
from jobs.tables import Figures

if TYPE_CHECKING:
    from pipeline.comparison.point import Point
    from pipeline.registry.register import Registered
    from pipeline.search.search import Searched


def main(
    config: Config,
    overrides: Overrides,
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
    """Search methods and their options for the trade-off curve, and register the best; commands can share a study."""
    from jobs.progress import TrainingProgress, check_resources
    from pipeline.comparison.comparison import plan_networks
    from pipeline.comparison.verdicts import verdicts
    from pipeline.data.prepare import prepare
    from pipeline.search.search import Search
    from pipeline.search.study import Study
    from pipeline.training.resolve import load_config

    chosen = {"trials": trials, "seeds": seeds, "workers": workers, "storage": storage and f'"{storage}"'}
    options = [f"search.{key}={value}" for key, value in chosen.items() if value is not None]
    loaded = load_config(config, [*overrides, *options])
    prepared = prepare(loaded)
    search = Search(loaded, prepared, Study(loaded, prepared))
    planned = plan_networks(search.compared)
    check_resources(planned, prepared, loaded.search.workers)
    with TrainingProgress(planned) as progress:
        searched, registered = search.run([progress], _PointsPrinter(search.study.places))
    lines = closing_lines(registered, verdicts(searched.compared.findings), loaded.gate, config, overrides)
    _show(searched, registered, lines, as_json)


_PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}


class _PointsPrinter:
    """Prints a line once for each finished point."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._printed: set[int | None] = set()

    def __call__(self, points: Sequence[Point]) -> None:
        """Print the points that are new among all finished ones."""
        for point in points:
            if point.trial not in self._printed:
                self._printed.add(point.trial)
                auc = f"validation AUC {mean(point.val.values()):.4f}" if point.val else ""
                line = f"[{len(self._printed)}/{self._places}] trial {point.trial} {point.name}: "
                err.print(line + (auc or f"{point.state}, {point.reason}"), **_PLAIN)


def _show(searched: Searched, registered: Registered, lines: list[str], as_json: bool) -> None:
    data = {"front": [asdict(point) for point in searched.pareto_front], "trials": len(searched.points)}
    data |= {"study": searched.path, "model": searched.config.name, "aliases": registered.aliases, "verdicts": lines}
    show(_table(searched), data, as_json)
    if as_json:
        return
    show_gauc(searched.compared)
    if not registered.aliases:
        out.print("nothing is registered: no point is complete and keeps to `search.not_below_single_task`")
    else:
        show_registered(registered)
    out.print(f"every point: {searched.path}", highlight=False, soft_wrap=True)
    show_lines(lines)


def _table(searched: Searched) -> Figures:
    """The Pareto front, from the lowest Δm% up, below the baselines that it is compared with."""
    rows = [(row.system, row.auc, row.delta_m_pct, row.deviation) for row in searched.comparison.table("val")]
    points = sorted(
        zip(searched.candidates(), searched.pareto_front, strict=True), key=lambda pair: pair[0].delta_m_pct
    )
    rows += [(f"{p.trial}: {p.name}", p.val, one.delta_m_pct, p.val_sd) for one, p in points]
    seeds = searched.config.search.seeds
    spread = f", mean ± sd of {seeds} seeds" if seeds > 1 else f", seed {searched.config.train.seed}"
    title = f"{searched.config.name}: front of {len(searched.points)} trials by validation AUC{spread}"
    table = []
    for name, auc, drop, spreads in rows:
        aucs = [f"{auc[t]:.4f}" + (f" ± {spreads[t]:.4f}" if spreads else "") for t in searched.config.tasks]
        table.append([name, *aucs, f"{mean(auc.values()):.4f}", f"{drop:+.2f}"])
    return Figures(["trial", *searched.config.tasks, "average", "Δm% (drop)"], table, title)
