"""Runs in MLflow: the only file that writes to them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import mlflow
from mlflow.entities import LifecycleStage, Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from features.contract import InputError
from gradops.methods import parse
from pipeline.boosting import BOOSTING, SETTINGS
from pipeline.comparison import SINGLE_TASK, Comparison, Planned, Row
from pipeline.config import RunConfig
from pipeline.interruption import uninterrupted
from pipeline.prepared import Prepared
from pipeline.results import Result
from pipeline.runs import CONFIG, RESULT, Epoch, Metrics, Run

DEFAULT_STORE = "sqlite:///mlflow.db"
FINGERPRINT = "gradops.fingerprint"
TRIAL, PARETO = "gradops.trial", "gradops.pareto"
_PARENT = "mlflow.parentRunId"
_COMPARED = "gradops.run_ids"
_MOST_METRICS = 1000  # that MLflow takes in one call


def store_uri() -> str:
    """What ``MLFLOW_TRACKING_URI`` names; a SQLite file in the working folder without it."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE


def connect() -> MlflowClient:
    """A client of the tracking store."""
    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    mlflow.set_tracking_uri(store_uri())
    return MlflowClient()


def log_report(result: Result, report: Path) -> str | None:
    """Log a report to the parent run of what it shows, and return that run's id; None where nobody recorded it."""
    client = connect()
    experiment = client.get_experiment_by_name(result.name)
    if experiment is None:
        return None
    query = f"tags.`{FINGERPRINT}` = '{result.fingerprint}'"
    for run in client.search_runs([experiment.experiment_id], query, max_results=1):
        client.log_artifact(run.info.run_id, str(report))
        return str(run.info.run_id)
    return None


class Tracker:
    """Records a comparison or a study: one parent run, one child per training run.

    A :class:`pipeline.comparison.Observer`.

    A run already recorded, in this comparison or an earlier one, is found by its fingerprint and not recorded again;
    one that was trained but never recorded is recorded from its history.

    Args:
        config: What is trained; its name is the experiment's.
        prepared: On what.
        comparison: Fingerprint of the comparison whose parent run the runs belong to; None for a run on its own.
        study: The same of a study, in place of a comparison. Other processes may be recording runs of it, too.
    """

    def __init__(
        self, config: RunConfig, prepared: Prepared, comparison: str | None = None, *, study: str | None = None
    ) -> None:
        self.client = connect()
        self._prepared = prepared
        self._experiment = self._experiment_of(config.name)
        self._open: dict[str, str] = {}
        self._closed: dict[str, str] = {}
        self._is_shared = study is not None
        kind, group = ("comparison", comparison) if study is None else ("study", study)
        self._parent = group and (self._find(group) or self._create(kind, {}, {FINGERPRINT: group}))
        if self._parent:
            if not self._is_shared:
                self.close_lost(set)
            self.client.update_run(self._parent, RunStatus.to_string(RunStatus.RUNNING))

    def __enter__(self) -> Tracker:
        return self

    @uninterrupted()
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = RunStatus.to_string(RunStatus.FAILED if kind else RunStatus.FINISHED)
        parent = None if self._is_shared else self._parent
        for run_id in filter(None, (*self._open.values(), parent)):
            # Where the block failed, its own error is the one to see; the next comparison closes what stays open.
            with suppress(MlflowException) if kind else nullcontext():
                self.client.set_terminated(run_id, status)

    @uninterrupted()
    def epoch(self, planned: Planned, epoch: Epoch) -> None:
        """Log an epoch's losses, validation metrics and sampled step reports."""
        metrics = [_metric(f"train.loss.{task}", loss, epoch.number) for task, loss in epoch.losses.items()]
        metrics += [_metric(f"val.{name}", value, epoch.number) for name, value in _flat(epoch.val).items()]
        metrics += [_metric("train.lr", epoch.lr, epoch.number), _metric("train.seconds", epoch.seconds, epoch.number)]
        for step, report in epoch.diagnostics.items():
            metrics += [_metric(f"step.{name}", value, step) for name, value in report.items()]
        run_id = self._run_of(planned)
        for start in range(0, len(metrics), _MOST_METRICS):
            self.client.log_batch(run_id, metrics=metrics[start : start + _MOST_METRICS])

    @uninterrupted()
    def finished(self, planned: Planned, run: Run, reused: bool) -> None:
        """Log a run's result and close it."""
        recorded = None if planned.label in self._open else self._find(run.fingerprint)
        if recorded is None:
            if reused:
                for epoch in run.history:
                    self.epoch(planned, epoch)
            recorded = self._run_of(planned)
            final = {**_prefixed("test", run.test), **_prefixed("best.val", run.val), "best.epoch": run.best_epoch}
            self._log(recorded, final)
            self.client.set_tag(recorded, FINGERPRINT, run.fingerprint)
            for name in (RESULT, CONFIG):
                self.client.log_artifact(recorded, str(run.folder / name))
            self.client.set_terminated(recorded)
            self._open.pop(planned.label)
        self._closed[run.fingerprint] = recorded

    @uninterrupted()
    def compared(self, comparison: Comparison) -> None:
        """Log the comparison's figures to the parent, and Δm and Mean Rank of each method to its runs; once.

        Δm is a drop against the single-task runs named in the tag ``gradops.baseline_run_ids``.
        """
        assert self._parent is not None, "a tracker of single runs has no comparison to log"
        if _COMPARED in self.client.get_run(self._parent).data.tags:
            return
        rows = {split: comparison.table(split) for split in ("val", "test")}
        for file in (comparison.path, comparison.path.with_suffix(".md")):
            self.client.log_artifact(self._parent, str(file))
        baseline = ",".join(self._closed[run.fingerprint] for run in comparison.systems[SINGLE_TASK])
        for split, table in rows.items():
            for row in table:
                figures = _figures(row)
                named = figures | {f"auc.{task}": auc for task, auc in row.auc.items()}
                self._log(self._parent, {f"{_plain(row.system)}.{split}.{name}": v for name, v in named.items()})
                for run in comparison.systems[row.system]:
                    run_id = self._closed[run.fingerprint]
                    self._log(run_id, {f"comparison.{split}.{name}": value for name, value in figures.items()})
                    self.client.set_tag(run_id, "gradops.baseline_run_ids", baseline)
        self.client.set_tag(self._parent, _COMPARED, ",".join(self._closed.values()))

    def run_id(self, run: Run) -> str:
        """The MLflow run that recorded a run, here or in another process of the study."""
        if run.fingerprint not in self._closed:
            recorded = self._find(run.fingerprint)
            assert recorded is not None, f"{run.folder} was never recorded"
            self._closed[run.fingerprint] = recorded
        return self._closed[run.fingerprint]

    @uninterrupted()
    def give_up(self, state: str) -> list[str]:
        """Close what is open and will not be finished; the MLflow runs that it was."""
        run_ids = list(self._open.values())
        for run_id in run_ids:
            self.client.set_tag(run_id, "gradops.state", state)
            self.client.set_terminated(run_id)
        self._open.clear()
        return run_ids

    @uninterrupted()
    def close_lost(self, running: Callable[[], Collection[int]]) -> None:
        """Close what a killed process left running.

        Args:
            running: The trials of the study that somebody works on. It is called after MLflow was asked: a run that
                was open then is of one of them, if its worker is alive.
        """
        query = f"tags.`{_PARENT}` = '{self._parent}' and attributes.status = 'RUNNING'"
        found = self.client.search_runs([self._experiment], query)
        trials = {str(trial) for trial in running()}
        for run in found:
            if run.data.tags.get(TRIAL) not in trials:
                self.client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))

    @uninterrupted()
    def studied(self, path: Path, front: Collection[str]) -> None:
        """Log a study's file to the parent, tag the runs on the front, and end the study.

        Args:
            path: The file.
            front: The MLflow runs on the front.
        """
        assert self._parent is not None, "a tracker of single runs has no study to log"
        self.client.log_artifact(self._parent, str(path))
        before = f"tags.`{_PARENT}` = '{self._parent}' and tags.`{PARETO}` = 'true'"
        tagged = {run.info.run_id for run in self.client.search_runs([self._experiment], before)}
        for run_id in tagged.symmetric_difference(front):
            self.client.set_tag(run_id, PARETO, str(run_id in front).lower())
        self.end_study("FINISHED")

    @uninterrupted()
    def end_study(self, status: str) -> None:
        """End the parent run of a study, which its trackers leave open for each other."""
        assert self._parent is not None, "a tracker of single runs has no study to end"
        self.client.set_terminated(self._parent, status)

    def _experiment_of(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            return str(self.client.create_experiment(name, _artifacts(name)))
        if found.lifecycle_stage != LifecycleStage.ACTIVE:
            fix = f"restore it with `mlflow experiments restore -x {found.experiment_id}`, or choose another `name`"
            raise InputError(f"the MLflow experiment `{name}` is deleted; {fix}")
        return str(found.experiment_id)

    def _log(self, run_id: str, values: dict[str, float]) -> None:
        self.client.log_batch(run_id, metrics=[_metric(name, value, 0) for name, value in values.items()])

    def _run_of(self, planned: Planned) -> str:
        if planned.label not in self._open:
            config = planned.config
            params = _network(config) if planned.system != BOOSTING else _boosting(config)
            params |= {"data": self._prepared.fingerprint}
            tags = {_PARENT: self._parent} if self._parent else {}
            tags |= {TRIAL: str(planned.trial)} if planned.trial is not None else {}
            self._open[planned.label] = self._create(planned.label, params, tags)
        return self._open[planned.label]

    def _create(self, name: str, params: dict[str, Any], tags: dict[str, str]) -> str:
        run = self.client.create_run(self._experiment, run_name=name, tags=tags)
        self.client.log_batch(
            run.info.run_id,
            params=[Param(key, str(value)) for key, value in params.items()],
            tags=[RunTag("gradops.data", self._prepared.fingerprint)],
        )
        return str(run.info.run_id)

    def _find(self, fingerprint: str) -> str | None:
        """The run of a comparison, or the training run whose result is logged: only then has it a fingerprint."""
        found = self.client.search_runs([self._experiment], f"tags.`{FINGERPRINT}` = '{fingerprint}'", max_results=1)
        return found[0].info.run_id if found else None


def _network(config: RunConfig) -> dict[str, Any]:
    options = {"method": config.train.method, **_options(config.train.method)}
    params = {f"train.{k}": v for k, v in config.train.model_dump(mode="json").items()}
    params |= {f"model.{k}": v for k, v in config.model.model_dump(mode="json").items()}
    return params | {f"tradeoff.{k}": v for k, v in options.items()}


def _boosting(config: RunConfig) -> dict[str, Any]:
    params = {f"boosting.{name}": value for name, value in SETTINGS.items()}
    return params | {"train.tasks": config.tasks, "train.seed": config.train.seed}


def _options(text: str) -> dict[str, object]:
    """A method's options, and those of its rotations under ``rotation.``."""
    options = vars(parse(text))
    turn = options["rotation"]
    own = {name: value for name, value in options.items() if name != "rotation"}
    return own if turn is None else own | {f"rotation.{name}": value for name, value in vars(turn).items()}


def _artifacts(experiment: str) -> str | None:
    """Beside a SQLite store, wherever a command is run from; a tracking server has a place of its own."""
    _, is_sqlite, path = mlflow.get_tracking_uri().partition("sqlite:///")
    return (Path(path).parent / "mlartifacts" / experiment).resolve().as_uri() if is_sqlite else None


def _figures(row: Row) -> dict[str, float]:
    figures = {"average_auc": row.average, "delta_m_pct_drop": row.delta_m_pct}
    return figures if row.mean_rank is None else figures | {"mean_rank": row.mean_rank}


def _metric(name: str, value: float, step: int) -> Metric:
    return Metric(name, float(value), int(time.time() * 1000), step)


def _flat(metrics: Metrics) -> dict[str, float]:
    """``{"income": {"auc": ...}}`` as ``{"auc.income": ...}``."""
    return {f"{name}.{task}": value for task, named in metrics.items() for name, value in named.items()}


def _prefixed(prefix: str, metrics: Metrics) -> dict[str, float]:
    return {f"{prefix}.{name}": value for name, value in _flat(metrics).items()}


def _plain(system: str) -> str:
    """A system's name in the characters that MLflow allows in a metric: ``gradops alpha -2.0``; a plus in words."""
    words = "".join(c if c.isalnum() or c in "-._/" else " " for c in system.replace("+", " plus "))
    return " ".join(words.split())
