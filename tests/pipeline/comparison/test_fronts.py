"""The fronts of families of methods, on scores that were made up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.torch import save_file

from pipeline.comparison.fronts import compare_fronts, family_of, front_points
from pipeline.comparison.point import Point
from pipeline.comparison.scores import SCORES, TestRows, as_tensors
from pipeline.evaluation.intervals import Estimate
from pipeline.runs.run import Run
from tests.pipeline.comparison.made_up import run

TASKS = ["a", "b"]


@dataclass(frozen=True)
class Rows:
    """Test rows with labels, and nothing else."""

    labels_NT: npt.NDArray[np.float32]
    split: str = "test"
    step: int = 1
    share: float = 1.0
    unit_N: None = None

    def __len__(self) -> int:
        return len(self.labels_NT)

    def labels(self, _: object) -> npt.NDArray[np.float32]:
        return self.labels_NT


def point(trial: int, method: str, val: tuple[float, ...], test: tuple[float, ...], **params: float | str) -> Point:
    aucs = {split: dict(zip(TASKS, values, strict=True)) for split, values in (("val", val), ("test", test))}
    return Point(trial, method, params, **cast("Any", aucs))


def none(_: Point) -> list[Run]:
    return []


def test_plain_sums_with_searched_weights_are_a_family() -> None:
    weights = {"spec.tasks.a.weight": 2.0}
    assert family_of(Point(0, "uniform", {**weights})) == "static weights"
    assert family_of(Point(0, "uniform", {"weights": "static"})) == "static weights"
    assert family_of(Point(0, "static(weight=(0.5, 1.5))", {})) == "static weights"
    assert family_of(Point(0, "uniform", {"train.lr": 0.1})) == "uniform"
    assert family_of(Point(0, "gradops(alpha=-1.0)", {})) == "gradops"
    assert family_of(Point(0, "gradops(alpha=-1.0)", {**weights})) == "gradops with weights"


def test_validation_chooses_a_front_and_test_measures_it() -> None:
    points = [
        point(0, "mgda", (0.7, 0.6), (0.7, 0.6)),
        point(1, "mgda", (0.6, 0.7), (0.6, 0.7)),
        point(2, "mgda", (0.59, 0.59), (0.9, 0.9)),  # not chosen, however good it is on test
        point(3, "pcgrad", (0.65, 0.5), (0.65, 0.59)),
        point(4, "pcgrad", (0.6, 0.9), (0.55, 0.8)),
        replace(point(5, "pcgrad", (0.9, 0.9), (0.9, 0.9)), state="pruned"),
    ]
    found = compare_fronts(points, TASKS, cast("TestRows", None), none)
    assert found is not None
    mgda, pcgrad = found.fronts
    assert (mgda.family, mgda.points, mgda.labels) == ("mgda", 3, [points[0].label, points[1].label])
    assert (pcgrad.points, pcgrad.labels) == (2, [points[3].label, points[4].label])
    assert mgda.hypervolume == pytest.approx(0.2 * 0.1 + 0.1 * 0.1)
    assert pcgrad.hypervolume == pytest.approx(0.15 * 0.09 + 0.05 * 0.21)
    assert (mgda.undominated, pcgrad.undominated) == (2, 1), "trial 3 is behind trial 0"
    assert (mgda.low, found.differences) == (None, [])
    assert "another machine" in found.note


def test_volumes_that_take_too_long_have_no_intervals() -> None:
    tasks = list("abcde")

    def on_a_plane(trial: int, method: str) -> Point:
        aucs = {task: 0.6 + 0.01 * ((trial * (place + 3)) % 23) for place, task in enumerate("abcd")}
        aucs["e"] = 3.4 - sum(aucs.values())
        return Point(trial, method, {}, val=aucs, test=aucs)

    points = [on_a_plane(trial, "mgda") for trial in range(22)] + [on_a_plane(1, "pcgrad")]
    found = compare_fronts(points, tasks, cast("TestRows", None), lambda _: [run(tasks)])
    assert found is not None
    assert (len(found.fronts[0].labels), found.fronts[0].low) == (22, None)
    assert "more than 20 points of more than 4 tasks" in found.note


def test_one_family_is_compared_with_nothing() -> None:
    points = [point(0, "mgda", (0.7, 0.6), (0.7, 0.6)), Point(None, "uniform", {})]
    assert compare_fronts(points, TASKS, cast("TestRows", None), none) is None
    assert {*front_points(points)} == {"mgda"}


def test_the_interval_of_a_front_of_one_point_is_that_of_a_product(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = Rows((generator.random((2_000, 2)) < 0.3).astype(np.float32))
    known = cast("TestRows", rows)
    scores = [(rows.labels_NT + generator.normal(0, 1.5, (2_000, 2))).astype(np.float32) for _ in range(2)]
    runs = {}
    for name, score_NT in zip(("mgda", "pcgrad"), scores, strict=True):
        runs[name] = replace(run(TASKS), folder=tmp_path / name)
        runs[name].folder.mkdir()
        save_file(as_tensors(score_NT, known), runs[name].folder / SCORES)
    estimate = Estimate.of(rows.labels_NT, [np.hstack(scores)])
    (auc_MT,) = estimate.auc_SMT
    points = [point(i, name, (0.6, 0.6), tuple(auc_MT[i].tolist())) for i, name in enumerate(runs)]
    found = compare_fronts(points, TASKS, known, lambda p: [runs[p.method]])
    assert found is not None
    above_MT = auc_MT - 0.5
    slope_MT = above_MT[:, ::-1]
    for place, front in enumerate(found.fronts):
        assert front.hypervolume == pytest.approx(above_MT[place].prod())
        own = slice(2 * place, 2 * place + 2)
        error = np.sqrt(slope_MT[place] @ estimate.mean_KK[own, own] @ slope_MT[place])
        assert front.low is not None
        assert front.high is not None
        # A quantile of 500 draws is off by 5 % of its distance; the product is not quite linear.
        assert front.high - front.low == pytest.approx(2 * 1.96 * error, rel=0.15)
        assert front.low < front.hypervolume < front.high
    slope_K = np.concatenate([slope_MT[0], -slope_MT[1]])
    (difference,) = found.differences
    error = np.sqrt(slope_K @ estimate.mean_KK @ slope_K)
    assert difference.delta == pytest.approx(found.fronts[0].hypervolume - found.fronts[1].hypervolume)
    assert difference.high - difference.low == pytest.approx(2 * 1.96 * error, rel=0.15)
