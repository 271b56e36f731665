"""Writes runs to MLflow so that what is sent twice is recorded once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import LifecycleStage, Metric, Param, RunStatus
from mlflow.tracking import MlflowClient

from features.errors import InputError
from pipeline.comparison.comparison import Comparison
from pipeline.runs.plan import SINGLE_TASK, Split
from pipeline.runs.run import CONFIG, RESULT, Epoch, Run
from pipeline.tracking.connection import reached
from pipeline.tracking.names import LAST, at_zero, of_epoch, of_result, of_row, plain
from pipeline.tracking.pending import Entry
from pipeline.tracking.store import connect

FINGERPRINT = "gradops.fingerprint"
PARENT = "mlflow.parentRunId"
_RUN = "gradops.run"  # of a run from its beginning on; FINGERPRINT is that of one that is recorded whole
DATA = "gradops.data"
_MOST_METRICS = 1000  # that MLflow takes in one call


@dataclass
class Recording:
    """A training run on its way into the store.

    Args:
        entry: What is recorded of it beside its epochs.
        epochs: Its epochs so far.
        sent: How many of them are recorded.
        run_id: Of MLflow; empty as long as it has none.
        began: When it began, in milliseconds.
    """

    entry: Entry
    epochs: list[Epoch] = field(default_factory=list)
    sent: int = 0
    run_id: str = ""
    began: int = 0


class Recorder:
    """Writes runs of one experiment to a store.

    A metric's time is its run's beginning and the seconds trained since, not the time it is sent at: MLflow keeps equal
    metrics once, so whatever may have arrived before the line broke can be sent again.

    Args:
        client: Of the store.
        name: The experiment's.

    Raises:
        InputError: If the experiment is deleted.
    """

    def __init__(self, client: MlflowClient, name: str) -> None:
        self.client, self.name = client, name
        self.experiment = _experiment(client, name)

    def ask(self) -> None:
        """Ask the store anything, to see whether it is there."""
        self.client.get_experiment(self.experiment)

    def recorded(self, fingerprint: str) -> str | None:
        """The MLflow run of a training run that is recorded whole."""
        found = self._search(f"tags.`{FINGERPRINT}` = '{fingerprint}'")
        if not found:
            return None
        if found[0].info.status != "FINISHED":  # the line broke before its end was recorded
            self.client.set_terminated(found[0].info.run_id)
        return str(found[0].info.run_id)

    def parent(self, group: Sequence[str], data: str) -> str:
        """The parent run of a comparison's or a study's runs, made if there is none.

        Args:
            group: Kind and fingerprint.
            data: Fingerprint of what they are trained on.
        """
        kind, fingerprint = group
        found = self._search(f"tags.`{FINGERPRINT}` = '{fingerprint}'")
        return str(found[0].info.run_id) if found else self._create(kind, {FINGERPRINT: fingerprint, DATA: data})

    def send(self, recording: Recording, parent: str | None) -> None:
        """Record what is not recorded yet of a run's epochs, in order.

        Args:
            recording: The run.
            parent: Its parent run.
        """
        if not recording.run_id:
            self._open(recording, parent)
        at = recording.began + _milliseconds(recording.epochs[: recording.sent])
        for epoch in recording.epochs[recording.sent :]:
            at += _milliseconds([epoch])
            self._log(recording.run_id, of_epoch(epoch), at)
            recording.sent += 1

    def finish(self, recording: Recording, run: Run, parent: str | None) -> str:
        """Record a finished run whole, and end it; its MLflow run."""
        recording.epochs = run.history
        self.send(recording, parent)
        run_id = recording.run_id
        self._log(run_id, of_result(run), recording.began + _milliseconds(run.history))
        for name in (RESULT, CONFIG):
            self.client.log_artifact(run_id, str(run.folder / name))
        self.client.set_tag(run_id, FINGERPRINT, run.fingerprint)
        self.client.set_terminated(run_id)
        return run_id

    def deliver(self, entry: Entry, runs: Path) -> None:
        """Record a finished run that waits; its experiment may be another one.

        Args:
            entry: What is recorded beside its folder.
            runs: Where its folder is.
        """
        own = self if entry.experiment == self.name else Recorder(self.client, entry.experiment)
        if own.recorded(entry.fingerprint) is None:
            parent = own.parent(entry.group, entry.params["data"]) if entry.group else None
            own.finish(Recording(entry), Run.load(runs / entry.fingerprint), parent)

    def compare(self, comparison: Comparison, parent: str, run_ids: Mapping[str, str]) -> None:
        """Record a comparison's figures in its parent run, and those of each system in its runs.

        Args:
            comparison: The comparison.
            parent: Its run.
            run_ids: The run of each fingerprint.
        """
        for file in (comparison.path, comparison.path.with_suffix(".md")):
            self.client.log_artifact(parent, str(file))
        baseline = ",".join(run_ids[run.fingerprint] for run in comparison.systems[SINGLE_TASK.name])
        splits: tuple[Split, ...] = ("val", "test")
        for split in splits:
            for row in comparison.table(split):
                figures = of_row(row)
                named = figures | {f"auc.{task}": auc for task, auc in row.auc.items()}
                self._log_apart(parent, {f"{plain(row.system)}.{split}.{name}": v for name, v in named.items()})
                for run in comparison.systems[row.system]:
                    run_id = run_ids[run.fingerprint]
                    self._log_apart(run_id, {f"comparison.{split}.{name}": value for name, value in figures.items()})
                    self.client.set_tag(run_id, "gradops.baseline_run_ids", baseline)

    def _log(self, run_id: str, values: list[tuple[str, float, int]], at: int) -> None:
        """Record metrics, each with its step, at a time that is the same whenever they are sent."""
        metrics = [Metric(name, float(value), at, step) for name, value, step in values]
        for start in range(0, len(metrics), _MOST_METRICS):
            self.client.log_batch(run_id, metrics=metrics[start : start + _MOST_METRICS])

    def _log_apart(self, run_id: str, figures: dict[str, float]) -> None:
        """Record what a run is told after its end, at the time of its beginning."""
        self._log(run_id, at_zero(figures), self.client.get_run(run_id).info.start_time)

    def _open(self, recording: Recording, parent: str | None) -> None:
        """Go on with the MLflow run that was begun before an interruption, or begin one."""
        entry = recording.entry
        tags = {_RUN: entry.fingerprint, **entry.tags} | ({PARENT: parent} if parent else {})
        found = self._search(f"tags.`{_RUN}` = '{entry.fingerprint}' and attributes.status != 'FINISHED'")
        if not found:
            recording.began = int(time.time() * 1000) - _milliseconds(recording.epochs)
            recording.run_id = self._create(entry.label, tags, recording.began)
            self._log_params(recording.run_id, entry.params)
            return
        run = found[0]
        for name, value in tags.items():
            self.client.set_tag(run.info.run_id, name, value)
        if not run.data.params:
            self._log_params(run.info.run_id, entry.params)
        self.client.update_run(run.info.run_id, RunStatus.to_string(RunStatus.RUNNING))
        known = self.client.get_metric_history(run.info.run_id, LAST)
        recording.sent = max((metric.step + 1 for metric in known), default=0)
        recording.run_id, recording.began = run.info.run_id, run.info.start_time

    def _create(self, name: str, tags: dict[str, str], began: int | None = None) -> str:
        run = self.client.create_run(self.experiment, start_time=began, run_name=name, tags=tags)
        return str(run.info.run_id)

    def _log_params(self, run_id: str, params: dict[str, str]) -> None:
        self.client.log_batch(run_id, params=[Param(name, value) for name, value in params.items()])

    def _search(self, query: str) -> Any:
        return self.client.search_runs([self.experiment], query, max_results=1)


def log_report(experiment_name: str, fingerprint: str, report: Path) -> str | None:
    """Log a report to the parent run of what it shows.

    Args:
        experiment_name: The experiment's.
        fingerprint: Of the comparison or the study.
        report: The file.

    Returns:
        The id of that run; None where nobody recorded it.

    Raises:
        AwayError: If the store is away.
    """
    with reached(f"{report} is written, and not logged to MLflow; give the command again once it is back"):
        client = connect()
        experiment = client.get_experiment_by_name(experiment_name)
        if experiment is None:
            return None
        query = f"tags.`{FINGERPRINT}` = '{fingerprint}'"
        for run in client.search_runs([experiment.experiment_id], query, max_results=1):
            client.log_artifact(run.info.run_id, str(report))
            return str(run.info.run_id)
    return None


def _milliseconds(epochs: Sequence[Epoch]) -> int:
    """The training time of epochs; each rounded by itself, so that sums of parts are parts of sums."""
    return sum(int(epoch.seconds * 1000) for epoch in epochs)


def _experiment(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, _artifacts(name)))
    if found.lifecycle_stage != LifecycleStage.ACTIVE:
        fix = f"restore it with `mlflow experiments restore -x {found.experiment_id}`, or choose another `name`"
        raise InputError(f"the MLflow experiment `{name}` is deleted; {fix}")
    return str(found.experiment_id)


def _artifacts(experiment: str) -> str | None:
    """Beside a SQLite store, wherever a command is run from; a tracking server has a place of its own."""
    _, is_sqlite, path = mlflow.get_tracking_uri().partition("sqlite:///")
    return (Path(path).parent / "mlartifacts" / experiment).resolve().as_uri() if is_sqlite else None
