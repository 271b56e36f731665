"""Progress of training runs: the resources that they need, then bars on a terminal, or a line an epoch elsewhere."""

from __future__ import annotations

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn

from jobs.console import Bars, err
from pipeline.data.prepared import Prepared
from pipeline.runs.plan import PlannedRun
from pipeline.runs.run import Epoch, Run, mean_auc
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
    """Shows planned runs as they train. A :class:`pipeline.runs.plan.Callback`."""

    def __init__(self, planned: list[PlannedRun]) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        super().__init__(*columns)
        self._total, self._done = len(planned), 0
        self._all = self._bars.add_task("runs", total=self._total)
        self._tasks: dict[str, TaskID] = {}

    def on_epoch(self, planned: PlannedRun, epoch: Epoch) -> None:
        """Move the run's bar, or print a line."""
        if planned.label not in self._tasks:
            self._tasks[planned.label] = self._bars.add_task(planned.label, total=planned.config.train.epochs)
        self._bars.advance(self._tasks[planned.label])
        if not err.is_terminal:
            figures = f"validation AUC {epoch.mean_auc:.4f}, {epoch.seconds:.1f} s"
            err.print(
                f"{planned.label}: epoch {epoch.number + 1}/{planned.config.train.epochs}, {figures}", highlight=False
            )

    def on_run_end(self, planned: PlannedRun, run: Run, reused: bool) -> None:
        """Replace the run's bar by a line with its result."""
        self._done += 1
        if planned.label in self._tasks:
            self._bars.remove_task(self._tasks[planned.label])
        self._bars.advance(self._all)
        how = "found done" if reused else f"best epoch {run.best_epoch + 1}"
        figures = f"{how}, test AUC {mean_auc(run.test):.4f}"
        err.print(f"[{self._done}/{self._total}] {planned.label}: {figures}", highlight=False, markup=False)
