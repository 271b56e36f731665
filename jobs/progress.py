"""Progress of training runs: the resources that they need, then bars on a terminal, or a line an epoch elsewhere."""

from __future__ import annotations

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jobs.console import Bars, err
from pipeline.data.prepared import Prepared
from pipeline.runs.plan import PlannedRun
from pipeline.runs.run import Epoch, Run
from pipeline.training.distributed import neighbours
from pipeline.training.resources import ResourceCheck


def check_resources(planned: list[PlannedRun], prepared: Prepared, workers: int) -> ResourceCheck:
    """Print the resources that the unfinished runs need, or refuse them, before anything is written."""
    resources = ResourceCheck.of([p.config for p in planned], prepared, workers, neighbours())
    resources.check()
    if resources.missing:
        err.print(resources.line, highlight=False, markup=False, soft_wrap=True)
    return resources


class TrainingProgress(Bars):
    """Shows planned runs as they train. A :class:`pipeline.runs.plan.Callback`.

    The first bar counts the epochs of all runs, so that it moves with the work and tells the time left.
    """

    def __init__(self, planned: list[PlannedRun]) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        super().__init__(*columns, TextColumn("left"), TimeRemainingColumn())
        self._total, self._done = len(planned), 0
        self._all = self._bars.add_task("epochs", total=sum(map(_steps, planned)))
        self._tasks: dict[str, TaskID] = {}

    def on_epoch(self, planned: PlannedRun, epoch: Epoch) -> None:
        """Move the run's bar, or print a line."""
        if planned.label not in self._tasks:
            self._tasks[planned.label] = self._bars.add_task(planned.label, total=_steps(planned))
        self._bars.advance(self._tasks[planned.label])
        self._bars.advance(self._all)
        if not err.is_terminal:
            selection = planned.config.train.selection
            found = f"validation {selection.title} {selection.value(epoch.val):.4f}"
            figures = f"{found}, {epoch.seconds:.1f} s"
            err.print(
                f"{planned.label}: epoch {epoch.number + 1}/{planned.config.train.epochs}, {figures}", highlight=False
            )

    def on_run_end(self, planned: PlannedRun, run: Run, reused: bool) -> None:
        """Replace the run's bar by a line with its result."""
        self._done += 1
        shown = 0.0
        if (bar := self._tasks.pop(planned.label, None)) is not None:
            shown = self._bars.tasks[self._bars.task_ids.index(bar)].completed
            self._bars.remove_task(bar)
        self._finish(_steps(planned) - shown, is_work=not (reused or shown))
        how = "found done" if reused else f"best epoch {run.best_epoch + 1}" if run.history else "done"
        selection = planned.config.train.selection
        figures = f"{how}, test {selection.title} {selection.value(run.test):.4f}"
        err.print(f"[{self._done}/{self._total}] {planned.label}: {figures}", highlight=False, markup=False)

    def _finish(self, epochs: float, *, is_work: bool) -> None:
        """Count epochs that were not shown: work done at once, or what a found run or an early stop has saved."""
        if is_work:
            self._bars.advance(self._all, epochs)
        else:  # they took no time, and would make the time left look shorter
            total = self._bars.tasks[self._bars.task_ids.index(self._all)].total or 0
            self._bars.update(self._all, total=total - epochs)


def _steps(planned: PlannedRun) -> int:
    """The number of steps of a run's bar: its epochs, or one for trees and models made of others, which have none."""
    return 1 if planned.system.kind in ("boosting", "made") else planned.config.train.epochs
