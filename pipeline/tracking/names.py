"""The parameters and metrics of runs in MLflow, under names that never change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradops.methods import PARTS, own_fields, parse
from pipeline.comparison.boosting import SETTINGS
from pipeline.comparison.comparison import Row
from pipeline.config.run import RunConfig
from pipeline.data.counts import mean_shares
from pipeline.runs.plan import PlannedRun
from pipeline.runs.run import Epoch, Metrics, Run

# The metric of an epoch that is sent last: an epoch with this metric is recorded completely.
LAST_METRIC = "train.seconds"
_MOST_NAMED = 3  # settings in a run's name


def run_params(planned: PlannedRun, data: str) -> dict[str, str]:
    """A planned run's parameters.

    Args:
        planned: The run.
        data: Fingerprint of the prepared data that it is trained on.
    """
    config = planned.config
    match planned.system.kind:
        case "boosting":
            params = _boosting(config)
        case "made":
            params = {"made": planned.system.name, "train.tasks": config.tasks, "train.seed": config.train.seed}
        case _:
            params = _network(config)
    return {name: str(value) for name, value in params.items()} | {"data": data}


def run_name(label: str, params: Mapping[str, str], first: Mapping[str, str]) -> str:
    """A run's name in MLflow: its label, and the settings in which it differs from the first run of this label.

    Args:
        label: Its label, such as ``uniform seed 0``.
        params: Its parameters.
        first: Those of the first run of this label in the experiment.
    """
    differing = [f"{name}={value}" for name, value in params.items() if first.get(name) != value]
    if not differing:
        return label
    more = ", ..." if len(differing) > _MOST_NAMED else ""
    return f"{label} ({', '.join(differing[:_MOST_NAMED])}{more})"


def epoch_metrics(epoch: Epoch) -> list[tuple[str, float, int]]:
    """An epoch's losses, validation metrics and sampled step reports, each with its step."""
    reports = [(f"step.{n}", v, step) for step, report in epoch.diagnostics.items() for n, v in report.items()]
    losses = [(f"train.loss.{task}", loss, epoch.number) for task, loss in epoch.losses.items()]
    metrics = [(f"val.{name}", value, epoch.number) for name, value in _flat(epoch.val).items()]
    return [
        *reports,
        *losses,
        *metrics,
        ("train.lr", epoch.lr, epoch.number),
        (LAST_METRIC, epoch.seconds, epoch.number),
    ]


def result_metrics(run: Run) -> list[tuple[str, float, int]]:
    """A finished run's metrics: on the test rows, on the validation rows after its best epoch, and on its data.

    Of a calibrated run, also the metrics without the calibrators; of one with snapshots, each task's own best epoch.
    """
    figures = {**_prefixed("test", run.test), **_prefixed("best.val", run.val), "best.epoch": float(run.best_epoch)}
    figures |= _prefixed("uncalibrated.test", run.uncalibrated.get("test", {}))
    figures |= _prefixed("uncalibrated.best.val", run.uncalibrated.get("val", {}))
    figures |= {f"best.epoch.{task}": float(epoch) for task, epoch in run.snapshots.items()}
    return at_step_zero(figures | mean_shares(run.features))


def comparison_metrics(row: Row) -> dict[str, float]:
    """A system's metrics in a comparison, other than the AUC of each task."""
    figures = {"average_auc": row.average, "delta_m_pct_drop": row.delta_m_pct}
    return figures if row.mean_rank is None else figures | {"mean_rank": row.mean_rank}


def at_step_zero(values: dict[str, float]) -> list[tuple[str, float, int]]:
    """Metrics that have no step, recorded at step 0."""
    return [(name, value, 0) for name, value in values.items()]


def metric_safe(system: str) -> str:
    """A system's name in characters that MLflow allows in a metric: ``gradops alpha -2.0``; ``+`` becomes ``plus``."""
    words = "".join(c if c.isalnum() or c in "-._/" else " " for c in system.replace("+", " plus "))
    return " ".join(words.split())


def _network(config: RunConfig) -> dict[str, Any]:
    options = {"method": config.train.method, **_options(config.train.method)}
    params = {f"train.{k}": v for k, v in config.train.model_dump(mode="json").items()}
    params |= {f"model.{k}": v for k, v in config.model.model_dump(mode="json").items()}
    return params | {f"tradeoff.{k}": v for k, v in options.items()}


def _boosting(config: RunConfig) -> dict[str, Any]:
    params = {f"boosting.{name}.{key}": value for name, found in SETTINGS.items() for key, value in found.items()}
    return params | {"train.tasks": config.tasks, "train.seed": config.train.seed}


def _options(text: str) -> dict[str, object]:
    """A method's options; those of its rotations and of the changes of its weights with their names as prefixes."""
    method = parse(text)
    parts = {part: value for part in PARTS if (value := getattr(method, part, None)) is not None}
    own = {field.name: getattr(method, field.name) for field in own_fields(type(method))}
    return own | {f"{part}.{name}": option for part, value in parts.items() for name, option in vars(value).items()}


def _flat(metrics: Metrics) -> dict[str, float]:
    """``{"income": {"auc": ...}}`` as ``{"auc.income": ...}``."""
    return {f"{name}.{task}": value for task, named in metrics.items() for name, value in named.items()}


def _prefixed(prefix: str, metrics: Metrics) -> dict[str, float]:
    return {f"{prefix}.{name}": value for name, value in _flat(metrics).items()}
