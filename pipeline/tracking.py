"""Runs in MLflow: the only file that writes to them."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import mlflow
from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.tracking import MlflowClient

from gradops.methods import parse
from pipeline.comparison import SINGLE_TASK, Comparison, Planned, Row
from pipeline.config import RunConfig
from pipeline.prepare import Prepared
from pipeline.runs import CONFIG, RESULT, Epoch, Metrics, Run

DEFAULT_STORE = "sqlite:///mlflow.db"
FINGERPRINT = "gradops.fingerprint"
_PARENT = "mlflow.parentRunId"


def connect() -> MlflowClient:
    """The tracking server that ``MLFLOW_TRACKING_URI`` names; a SQLite file in the working folder without it."""
    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE)
    return MlflowClient()


class Tracker:
    """Records a comparison: one parent run, one child per training run. A :class:`pipeline.comparison.Observer`.

    A run already recorded, in this comparison or an earlier one, is found by its fingerprint and not recorded again;
    one that was trained but never recorded is recorded from its history.

    Args:
        config: What is trained; its name is the experiment's.
        prepared: On what.
        comparison: Fingerprint of the comparison whose parent run the runs belong to; None for a run on its own.
    """

    def __init__(self, config: RunConfig, prepared: Prepared, comparison: str | None = None) -> None:
        self.client = connect()
        self._prepared = prepared
        found = self.client.get_experiment_by_name(config.name)
        self._experiment = (
            found.experiment_id if found else self.client.create_experiment(config.name, _artifacts(config.name))
        )
        self._parent = comparison and (self._find(comparison) or self._create("comparison", comparison, {}))
        self._open: dict[str, str] = {}
        self._closed: dict[str, str] = {}

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = RunStatus.to_string(RunStatus.FAILED if kind else RunStatus.FINISHED)
        for run_id in filter(None, (*self._open.values(), self._parent)):
            self.client.set_terminated(run_id, status)

    def epoch(self, planned: Planned, epoch: Epoch) -> None:
        """Log an epoch's losses, validation metrics and sampled step reports."""
        metrics = [_metric(f"train.loss.{task}", loss, epoch.number) for task, loss in epoch.losses.items()]
        metrics += [_metric(f"val.{name}", value, epoch.number) for name, value in _flat(epoch.val).items()]
        metrics += [_metric("train.lr", epoch.lr, epoch.number), _metric("train.seconds", epoch.seconds, epoch.number)]
        for step, report in epoch.diagnostics.items():
            metrics += [_metric(f"step.{name}", value, step) for name, value in report.items()]
        self.client.log_batch(self._run_of(planned), metrics=metrics)

    def finished(self, planned: Planned, run: Run, reused: bool) -> None:
        """Log a run's result and close it."""
        recorded = self._find(run.fingerprint) if planned.label not in self._open else None
        if recorded is None:
            if reused:
                for epoch in run.history:
                    self.epoch(planned, epoch)
            recorded = self._run_of(planned, run.fingerprint)
            final = {**_prefixed("test", run.test), **_prefixed("best.val", run.val), "best.epoch": run.best_epoch}
            self.client.log_batch(recorded, metrics=[_metric(name, value, 0) for name, value in final.items()])
            self.client.set_tag(recorded, FINGERPRINT, run.fingerprint)
            for name in (RESULT, CONFIG):
                self.client.log_artifact(recorded, str(run.folder / name))
            self.client.set_terminated(recorded)
            self._open.pop(planned.label)
        self._closed[run.fingerprint] = recorded

    def compared(self, comparison: Comparison) -> None:
        """Log the comparison's figures to the parent, and each method's to its runs.

        Δm is a drop against the single-task runs named in the tag ``gradops.baseline_run_ids``.
        """
        assert self._parent is not None, "a tracker of single runs has no comparison to log"
        rows = {split: comparison.table(split) for split in ("val", "test")}
        self.client.log_dict(self._parent, {s: [vars(row) for row in rs] for s, rs in rows.items()}, "comparison.json")
        baseline = ",".join(self._closed[run.fingerprint] for run in comparison.systems[SINGLE_TASK])
        for split, table in rows.items():
            for row in table:
                self.client.log_batch(self._parent, metrics=_figures(f"{_plain(row.system)}.{split}", row))
                for run in comparison.systems[row.system]:
                    if row.system != SINGLE_TASK:
                        run_id = self._closed[run.fingerprint]
                        self.client.log_batch(run_id, metrics=_figures(split, row))
                        self.client.set_tag(run_id, "gradops.baseline_run_ids", baseline)

    def run_id(self, run: Run) -> str:
        """The MLflow run that recorded a run of this comparison."""
        return self._closed[run.fingerprint]

    def _run_of(self, planned: Planned, fingerprint: str | None = None) -> str:
        if planned.label not in self._open:
            config = planned.config
            options = {"method": config.train.method, **vars(parse(config.train.method))}
            params = {f"train.{k}": v for k, v in config.train.model_dump(mode="json").items()}
            params |= {f"model.{k}": v for k, v in config.model.model_dump(mode="json").items()}
            params |= {f"tradeoff.{k}": v for k, v in options.items()} | {"data": self._prepared.fingerprint}
            self._open[planned.label] = self._create(planned.label, fingerprint, params, self._parent)
        return self._open[planned.label]

    def _create(self, name: str, fingerprint: str | None, params: dict[str, Any], parent: str | None = None) -> str:
        tags = {_PARENT: parent} if parent else {}
        tags |= {FINGERPRINT: fingerprint} if fingerprint else {}
        run = self.client.create_run(self._experiment, run_name=name, tags=tags)
        self.client.log_batch(
            run.info.run_id,
            params=[Param(key, str(value)) for key, value in params.items()],
            tags=[RunTag("gradops.data", self._prepared.fingerprint)],
        )
        return str(run.info.run_id)

    def _find(self, fingerprint: str) -> str | None:
        query = f"tags.`{FINGERPRINT}` = '{fingerprint}' and attributes.status = 'FINISHED'"
        found = self.client.search_runs([self._experiment], query, max_results=1)
        return found[0].info.run_id if found else None


def _artifacts(experiment: str) -> str | None:
    """Beside a SQLite store, wherever a command is run from; a tracking server has a place of its own."""
    _, is_sqlite, path = mlflow.get_tracking_uri().partition("sqlite:///")
    return (Path(path).parent / "mlartifacts" / experiment).resolve().as_uri() if is_sqlite else None


def _figures(prefix: str, row: Row) -> list[Metric]:
    values = {"average_auc": row.average, "delta_m_pct_drop": row.delta_m_pct, "mean_rank": row.mean_rank}
    values |= {f"auc.{task}": value for task, value in row.auc.items()}
    return [_metric(f"{prefix}.{name}", value, 0) for name, value in values.items()]


def _metric(name: str, value: float, step: int) -> Metric:
    return Metric(name, float(value), int(time.time() * 1000), step)


def _flat(metrics: Metrics) -> dict[str, float]:
    """``{"income": {"auc": ...}}`` as ``{"auc.income": ...}``."""
    return {f"{name}.{task}": value for task, named in metrics.items() for name, value in named.items()}


def _prefixed(prefix: str, metrics: Metrics) -> dict[str, float]:
    return {f"{prefix}.{name}": value for name, value in _flat(metrics).items()}


def _plain(system: str) -> str:
    """A system's name in the characters that MLflow allows in a metric: ``gradops alpha -2.0``."""
    return "".join(c if c.isalnum() or c in "-._/" else " " for c in system).strip()
