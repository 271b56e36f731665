"""AUC, Δm% and Mean Rank against a published table and values worked out by hand."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from pipeline.evaluation.multitask import delta_m_pct, mean_rank, task_metrics
from tests.conftest import ROOT

TASKS = ("income", "marital", "education")


def published() -> dict[str, dict[str, str]]:
    """Table 1 of the GradOPS paper (Zhu et al., WSDM 2025): Census-income, as printed."""
    with (ROOT / "tests" / "data" / "gradops_table1_census.csv").open() as stream:
        return {row["method"]: row for row in csv.DictReader(stream)}


def aucs() -> dict[str, dict[str, float]]:
    return {method: {task: float(row[task]) for task in TASKS} for method, row in published().items()}


@pytest.mark.parametrize("method", published())
def test_the_papers_table_is_reproduced_to_its_last_digit(method: str) -> None:
    printed = published()[method]
    assert f"{delta_m_pct(aucs()[method], aucs()['Single-task']):.2f}" == printed["delta_m_pct"]
    assert f"{mean_rank(aucs(), ties='ordinal')[method]:.2f}" == printed["mean_rank"]


def test_average_ties_do_not_depend_on_the_order_of_rows() -> None:
    table = aucs()
    backwards = dict(reversed(table.items()))
    assert mean_rank(table) == mean_rank(backwards)
    assert mean_rank(table, ties="ordinal") != mean_rank(backwards, ties="ordinal")


def test_mean_rank_by_hand() -> None:
    table = {"a": [0.9, 0.5], "b": [0.9, 0.7], "c": [0.8, 0.6]}
    assert mean_rank(table) == {"a": 2.25, "b": 1.25, "c": 2.5}
    assert mean_rank(table, ties="ordinal") == {"a": 2.0, "b": 1.5, "c": 2.5}
    assert mean_rank(table, higher_is_better=False) == {"a": 1.75, "b": 2.75, "c": 1.5}


def test_delta_m_is_a_drop_whatever_is_better() -> None:
    assert delta_m_pct([0.9], [1.0]) == pytest.approx(10.0)
    assert delta_m_pct([1.1], [1.0], higher_is_better=False) == pytest.approx(10.0)
    assert delta_m_pct([0.9, 1.1], [1.0, 1.0], higher_is_better=[True, False]) == pytest.approx(10.0)
    assert delta_m_pct({"b": 2.0, "a": 1.0}, {"a": 1.0, "b": 1.0}) == pytest.approx(-50.0)
    assert math.copysign(1, delta_m_pct([0.5], [0.5])) == 1


def test_unlike_things_are_not_compared() -> None:
    with pytest.raises(ValueError, match="same tasks"):
        delta_m_pct({"a": 1.0}, {"b": 1.0})
    with pytest.raises(ValueError, match="equally long"):
        delta_m_pct([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="not hold 0"):
        delta_m_pct([1.0], [0.0])
    with pytest.raises(ValueError, match="`ties`"):
        mean_rank({"a": [1.0]}, ties="max")  # type: ignore[arg-type]  # the point


def test_metrics_are_of_known_labels_only() -> None:
    labels_NT = np.array([[0.0, 1.0], [1.0, np.nan], [1.0, np.nan], [np.nan, np.nan]])
    probability_NT = np.array([[0.3, 0.5], [0.2, 0.9], [0.8, 0.9], [0.9, 0.9]])
    metrics = task_metrics(labels_NT, probability_NT, ["x", "y"])
    assert metrics["x"]["auc"] == 0.5
    assert metrics["x"]["calibration"] == pytest.approx(1.3 / 2)
    assert metrics["x"]["logloss"] == pytest.approx(-(math.log(0.7) + math.log(0.2) + math.log(0.8)) / 3)
    assert math.isnan(metrics["y"]["auc"])
    assert metrics["y"]["calibration"] == 0.5
