"""What each column is worth to each task of a model: `gradops explain models:/census@champion configs/census.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from jobs.console import AsJson, Bars, Config, Model, Overrides, err, out, show

if TYPE_CHECKING:
    from pipeline.explanation.explanation import Explanation

_SHOWN = 15


def main(
    model: Model,
    config: Config,
    overrides: Overrides,
    rows: Annotated[int, typer.Option(min=2, help="Validation rows; of more, a sample.")] = 20_000,
    repeats: Annotated[int, typer.Option(min=2, help="Shuffles of each column.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the shuffles.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Columns at the same time.", show_default="one a core")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="HTML file to write.", show_default="next to the explanation's JSON")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say by how much each task's AUC drops when a column is shuffled; an interrupted command goes on where it was."""
    import torch

    from jobs.preparing import prepared_with_bars
    from pipeline.explanation.explain import Explaining, Setting
    from pipeline.explanation.own_data import is_of_data
    from pipeline.explanation.summary import summary
    from pipeline.registry.packaging import fetched
    from pipeline.report.worths import write_explanation
    from pipeline.runtime.cores import available_cores
    from pipeline.serving.scorer import Scorer
    from pipeline.tracking.connection import require_store
    from pipeline.training.resolve import load_config

    torch.set_num_threads(1)  # each worker is a thread of its own
    loaded = load_config(config, overrides)
    with require_store("nothing is explained; give the command again once it is back"), fetched(model) as folder:
        scorer, prepared = Scorer.load(folder), prepared_with_bars(loaded)
        is_own = is_of_data(folder, prepared)
    work = Explaining(loaded, prepared, scorer, model, is_own, Setting(rows, repeats, seed))
    with _Shown() as shown:
        explanation = work.run(shown, workers or available_cores())
    page = output or work.path.with_suffix(".html")
    write_explanation(explanation, page)
    if not as_json:
        out.print(_table(explanation))
    text = "\n".join([*summary(explanation), str(page)])
    found = {"file": page, "explanation": work.path, "summary": summary(explanation)}
    show(text, found | explanation.model_dump(), as_json)


def _table(explanation: Explanation) -> Table:
    """The columns with the largest mean drops."""
    worths = explanation.of_kind("column")
    title = f"drop of the AUC when a column is shuffled, {explanation.rows:,} validation rows"
    table = Table("column", *explanation.auc, title=title, title_justify="left")
    for worth in worths[:_SHOWN]:
        drops = (worth.drops[task] for task in explanation.auc)
        table.add_row(worth.name, *(f"{d.delta:+.4f} [{d.low:+.4f}, {d.high:+.4f}]" for d in drops))
    if len(worths) > _SHOWN:
        table.add_row(f"{len(worths) - _SHOWN} more", *[""] * len(explanation.auc))
    return table


class _Shown(Bars):
    """A progress bar, or a line a column elsewhere. A :class:`pipeline.explanation.explain.ExplainCallback`."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        super().__init__(*columns)
        self._bar = self._bars.add_task("columns", total=None)
        self._total, self._done = 0, 0

    def on_start(self, total: int, done: int) -> None:
        """Set the number of columns and groups, and of those done before."""
        self._total, self._done = total, done
        self._bars.update(self._bar, total=total, completed=done)
        if not err.is_terminal:
            err.print(f"{total} columns and groups to shuffle, {done} of them found done", highlight=False)

    def on_unit(self, name: str) -> None:
        """Move the bar, or print a line."""
        self._done += 1
        self._bars.advance(self._bar)
        if not err.is_terminal:
            err.print(f"[{self._done}/{self._total}] {name}", highlight=False, markup=False)
