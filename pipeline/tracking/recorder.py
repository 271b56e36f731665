"""The writer of runs to MLflow; a run that is sent twice is recorded once."""

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
from pipeline.tracking.group import RunGroup
from pipeline.tracking.names import (
    LAST_METRIC,
    at_step_zero,
    comparison_metrics,
    epoch_metrics,
    metric_safe,
    result_metrics,
    run_name,
)
from pipeline.tracking.pending import PendingRun
from pipeline.tracking.store import restoring
from pipeline.tracking.tags import BASELINES, COMPARED_AT, COMPARISON, DATA, FINGERPRINT, PARENT, RUN

_MOST_METRICS = 1000  # the most that MLflow takes in one call


@dataclass
class Recording:
    """A training run on its way into the store.

    Args:
        metadata: Its name, parameters and tags.
        epochs: Its epochs so far.
        sent: Number of epochs that are recorded already.
        run_id: The MLflow run's id; empty until there is one.
        began: Its beginning, in milliseconds since 1970.
    """

    metadata: PendingRun
    epochs: list[Epoch] = field(default_factory=list)
    sent: int = 0
    run_id: str = ""
    began: int = 0


class Recorder:
    """Writes runs of one experiment to a store.

    A metric's time is its run's beginning plus the seconds trained since, whenever it is sent. MLflow stores equal
    metrics once, so everything that may have arrived before the connection broke can be sent again.

    Args:
        client: The store's client.
        name: The experiment's name.

    Raises:
        InputError: If the experiment is deleted.
    """

    def __init__(self, client: MlflowClient, name: str) -> None:
        self.client, self.name = client, name
        self.experiment = _experiment(client, name)

    def ping(self) -> None:
        """Send the store a small request, which fails if the store is away."""
        self.client.get_experiment(self.experiment)

    def recorded(self, fingerprint: str) -> str | None:
        """The MLflow run of a training run that is recorded completely; None if it is not."""
        found = self._search(f"tags.`{FINGERPRINT}` = '{fingerprint}'")
        if not found:
            return None
        if found[0].info.status != "FINISHED":  # the connection broke before its end was recorded
            self.client.set_terminated(found[0].info.run_id)
        return str(found[0].info.run_id)

    def parent(self, group: RunGroup, data: str) -> str:
        """The parent run of a group's runs, made if there is none.

        Args:
            group: The comparison, study or day.
            data: Fingerprint of the prepared data that the runs are trained on.
        """
        found = self._search(f"tags.`{FINGERPRINT}` = '{group.fingerprint}'")
        if found:
            return str(found[0].info.run_id)
        return self._create(group.kind, {FINGERPRINT: group.fingerprint, DATA: data})

    def send(self, recording: Recording, parent: str | None) -> None:
        """Record the epochs of a run that are not recorded yet, in order.

        Args:
            recording: The run.
            parent: Its parent run.
        """
        if not recording.run_id:
            self._open(recording, parent)
        at = recording.began + _milliseconds(recording.epochs[: recording.sent])
        for epoch in recording.epochs[recording.sent :]:
            at += _milliseconds([epoch])
            self._log(recording.run_id, epoch_metrics(epoch), at)
            recording.sent += 1

    def finish(self, recording: Recording, run: Run, parent: str | None) -> str:
        """Record everything of a finished run, end its MLflow run, and return that."""
        recording.epochs = run.history
        self.send(recording, parent)
        run_id = recording.run_id
        self._log(run_id, result_metrics(run), recording.began + _milliseconds(run.history))
        for name in (RESULT, CONFIG):
            self.client.log_artifact(run_id, str(run.folder / name))
        self.client.set_tag(run_id, FINGERPRINT, run.fingerprint)
        self.client.set_terminated(run_id)
        return run_id

    def deliver(self, pending: PendingRun, runs: Path) -> None:
        """Record a pending run, whose experiment may be another one.

        Args:
            pending: The run.
            runs: The folder that holds the run's folder.
        """
        own = self if pending.experiment == self.name else Recorder(self.client, pending.experiment)
        if own.recorded(pending.fingerprint) is None:
            parent = own.parent(pending.group, pending.params["data"]) if pending.group else None
            own.finish(Recording(pending), Run.load(runs / pending.fingerprint), parent)

    def describe_model(self, run: Run, run_id: str, model: str) -> None:
        """Record a finished run's result as the metrics of the model that was logged from it.

        A model has the run's own figures only: those of a comparison differ from one comparison to the next.
        """
        began = self.client.get_run(run_id).info.start_time
        self._log(run_id, result_metrics(run), began + _milliseconds(run.history), model)

    def compare(self, comparison: Comparison, parent: str, run_ids: Mapping[str, str]) -> None:
        """Record a comparison's metrics in its parent run, and each system's metrics in its runs.

        A run may belong to several comparisons. Its history has the metrics of each; its latest ones are those of the
        comparison that was recorded last, which a tag of the run names.

        Args:
            comparison: The comparison.
            parent: Its parent run in MLflow.
            run_ids: Fingerprint of a run to its MLflow run.
        """
        baseline = ",".join(run_ids[run.fingerprint] for run in comparison.systems[SINGLE_TASK.name])
        tags = {BASELINES: baseline, COMPARISON: parent}
        at = self._time_of_comparison(parent)
        splits: tuple[Split, ...] = ("val", "test")
        for split in splits:
            for row in comparison.table(split):
                figures = comparison_metrics(row)
                named = figures | {f"auc.{task}": auc for task, auc in row.auc.items()}
                of_tasks = comparison.findings.metrics[split][row.system]
                named |= {f"gauc.{task}": found["gauc"] for task, found in of_tasks.items() if "gauc" in found}
                of_all = {f"{metric_safe(row.system)}.{split}.{name}": value for name, value in named.items()}
                self._log(parent, at_step_zero(of_all), at)
                of_one = {f"comparison.{split}.{name}": value for name, value in figures.items()}
                for run_id in (run_ids[run.fingerprint] for run in comparison.systems[row.system]):
                    self._log(run_id, at_step_zero(of_one), at)
                    for name, value in tags.items():
                        self.client.set_tag(run_id, name, value)

    def _time_of_comparison(self, parent: str) -> int:
        """The time of a comparison's metrics, the same at every try to send them.

        MLflow shows the metric of the latest time. Of equal times it shows the higher value, and the metrics of a
        logged model may not have equal times: each comparison needs a time of its own.
        """
        if known := self.client.get_run(parent).data.tags.get(COMPARED_AT):
            return int(known)
        now = int(time.time() * 1000)
        self.client.set_tag(parent, COMPARED_AT, str(now))
        return now

    def _log(self, run_id: str, values: list[tuple[str, float, int]], at: int, model: str | None = None) -> None:
        """Record metrics, each with its step, at a time that does not depend on when they are sent.

        Args:
            run_id: The MLflow run.
            values: Name, value and step of each metric.
            at: The time, in milliseconds since 1970.
            model: A logged model that the metrics belong to as well.
        """
        metrics = [Metric(name, float(value), at, step, model_id=model) for name, value, step in values]
        for start in range(0, len(metrics), _MOST_METRICS):
            self.client.log_batch(run_id, metrics=metrics[start : start + _MOST_METRICS])

    def _open(self, recording: Recording, parent: str | None) -> None:
        """Continue the MLflow run that was begun before an interruption, or begin one."""
        metadata = recording.metadata
        tags = {RUN: metadata.fingerprint, **metadata.tags} | ({PARENT: parent} if parent else {})
        found = self._search(f"tags.`{RUN}` = '{metadata.fingerprint}' and attributes.status != 'FINISHED'")
        if not found:
            recording.began = int(time.time() * 1000) - _milliseconds(recording.epochs)
            recording.run_id = self._create(self._name(metadata), tags, recording.began)
            self._log_params(recording.run_id, metadata.params)
            return
        run = found[0]
        for name, value in tags.items():
            self.client.set_tag(run.info.run_id, name, value)
        if not run.data.params:
            self._log_params(run.info.run_id, metadata.params)
        self.client.update_run(run.info.run_id, RunStatus.to_string(RunStatus.RUNNING))
        known = self.client.get_metric_history(run.info.run_id, LAST_METRIC)
        recording.sent = max((metric.step + 1 for metric in known), default=0)
        recording.run_id, recording.began = run.info.run_id, run.info.start_time

    def _name(self, metadata: PendingRun) -> str:
        """A name that tells runs of one label and other settings apart."""
        quote = '"' if "'" in metadata.label else "'"
        query = f"attributes.run_name = {quote}{metadata.label}{quote}"
        order = ["attributes.start_time ASC"]
        found = self.client.search_runs([self.experiment], query, max_results=1, order_by=order)
        return run_name(metadata.label, metadata.params, found[0].data.params) if found else metadata.label

    def _create(self, name: str, tags: dict[str, str], began: int | None = None) -> str:
        run = self.client.create_run(self.experiment, start_time=began, run_name=name, tags=tags)
        return str(run.info.run_id)

    def _log_params(self, run_id: str, params: dict[str, str]) -> None:
        self.client.log_batch(run_id, params=[Param(name, value) for name, value in params.items()])

    def _search(self, query: str) -> Any:
        return self.client.search_runs([self.experiment], query, max_results=1)


def _milliseconds(epochs: Sequence[Epoch]) -> int:
    """The training time of epochs, each rounded by itself, so that times of parts add up to the time of the whole."""
    return sum(int(epoch.seconds * 1000) for epoch in epochs)


def _experiment(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, _artifacts(name)))
    if found.lifecycle_stage != LifecycleStage.ACTIVE:
        raise InputError(f"the MLflow experiment `{name}` is deleted; {restoring(found.experiment_id)}")
    return str(found.experiment_id)


def _artifacts(experiment: str) -> str | None:
    """The artifact folder next to a SQLite store; None for a tracking server, which decides for itself."""
    _, is_sqlite, path = mlflow.get_tracking_uri().partition("sqlite:///")
    return (Path(path).parent / "mlartifacts" / experiment).resolve().as_uri() if is_sqlite else None
