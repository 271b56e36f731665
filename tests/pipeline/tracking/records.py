"""The MLflow record of a run that was recorded whole."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.runs.run import Run
from pipeline.tracking.names import epoch_metrics, result_metrics
from pipeline.tracking.store import connect


def assert_recorded_once(name: str, run: Run) -> None:
    """See that an experiment has one finished MLflow run of a training run, with every metric once and in order."""
    client = connect()
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.status, found.data.tags["gradops.fingerprint"]) == ("FINISHED", run.fingerprint)
    expected: dict[str, list[tuple[int, Any]]] = {}
    for metric, value, step in [m for epoch in run.history for m in epoch_metrics(epoch)] + result_metrics(run):
        expected.setdefault(metric, []).append((step, pytest.approx(value, nan_ok=True)))
    assert found.data.metrics.keys() == expected.keys()
    # One that many metrics stand for, and those of which there is one an epoch: each is a request.
    for metric in ("val.auc.income", "train.seconds", "step.cosine.income.marital", "test.auc.income"):
        history = client.get_metric_history(found.info.run_id, metric)
        assert sorted((m.step, m.value) for m in history) == sorted(expected[metric], key=lambda pair: pair[0])
    assert found.data.params["tradeoff.method"] == "uniform"
    assert {file.path for file in client.list_artifacts(found.info.run_id)} >= {"result.json", "config.json"}
