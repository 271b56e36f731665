"""Boosted trees as arrays: LightGBM's own probabilities, and arrays that are no trees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pytest

from pipeline.comparison.boosting_trees import Rows, forest_of, grown
from pipeline.serving.trees.forest import Forest

CATEGORICAL = [False, True, False]


def rows(count: int, seed: int, *, known: bool = False) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """A number with gaps, a category of 200 codes, and a number without gaps unless they are wanted; and labels."""
    generator = np.random.default_rng(seed)
    number_N, code_N = generator.normal(size=count), generator.integers(0, 200, count)
    whole_N = generator.integers(-3, 4, count).astype(np.float64)
    logit_N = number_N + np.sin(code_N) + 0.3 * whole_N
    column_NC = np.stack([number_N, code_N, whole_N], axis=1).astype(np.float32)
    column_NC[generator.random(count) < 0.2, 0] = np.nan
    if not known:
        column_NC[generator.random(count) < 0.1, 2] = np.nan
    return column_NC, (generator.random(count) < 1 / (1 + np.exp(-logit_N))).astype(np.float64)


def booster(**settings: Any) -> lightgbm.Booster:
    column_NC, label_N = rows(3000, 0, known=True)
    data = lightgbm.Dataset(column_NC, label_N, categorical_feature=[1])
    return lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1, **settings}, data, 20)


@pytest.mark.parametrize("settings", [{}, {"min_data_in_leaf": 2000}, {"max_cat_to_onehot": 1, "cat_smooth": 1.0}])
def test_probabilities_are_lightgbms_own(settings: dict[str, Any]) -> None:
    model = booster(**settings)
    forest = forest_of(model)
    column_NC, _ = rows(2000, 1)  # the last column has gaps that no training row had
    # Values that are thresholds, and their neighbours in float32.
    at_N = forest.threshold_P[(forest.set_P < 0) & (forest.column_P == 0)].astype(np.float32)
    for near_N in (at_N, np.nextafter(at_N, np.float32("inf")), np.nextafter(at_N, np.float32("-inf"))):
        column_NC[: len(near_N), 0] = near_N[: len(column_NC)]
        expected_N = model.predict(column_NC)
        found_N = 1 / (1 + np.exp(-forest.logits(column_NC)))
        # Both add leaves in float64; another leaf would be off by 1e-4.
        np.testing.assert_allclose(found_N, expected_N, rtol=0, atol=1e-12)


def test_training_stops_by_validation_and_keeps_the_best_number_of_trees() -> None:
    (train_NC, train_N), (val_NC, val_N) = rows(1500, 0), rows(800, 1)
    settings = {"num_leaves": 15, "learning_rate": 0.3, "seed": 0, "num_threads": 1}
    few = grown(Rows(train_NC, train_N), Rows(val_NC, val_N), CATEGORICAL, settings, trees=200, patience=5)

    def loss(forest: Forest) -> float:
        return float(np.logaddexp(0, np.where(val_N == 1, -1, 1) * forest.logits(val_NC)).mean())

    more = grown(
        Rows(train_NC, train_N), Rows(val_NC, val_N), CATEGORICAL, settings, trees=len(few.root_K) + 4, patience=50
    )
    assert 1 < len(few.root_K) < 200
    assert len(more.root_K) == len(few.root_K), "no further tree lowers the loss"
    assert loss(few) < 0.69


def changed(name: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    arrays = forest_of(booster()).arrays
    return {**arrays, name: change(arrays[name].copy())}


def put(array: Any, value: Any) -> Any:
    array[-1] = value
    return array


WRONG: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "a missing array": ("leaf_L", lambda _: None, "`leaf_L` should be float64"),
    "another type": ("column_P", lambda a: a.astype(np.int64), "`column_P` should be int32"),
    "another shape": ("left_P", lambda a: a[:, None], "`left_P` should be int32"),
    "fewer nodes": ("set_P", lambda a: a[:-1], "should have one entry for each of"),
    "a circle": ("left_P", lambda a: put(a, 0), "nodes behind the parent"),
    "no leaf": ("right_P", lambda a: put(a, -(1 << 30)), "nodes behind the parent"),
    "a root beyond": ("root_K", lambda a: put(a, 1 << 30), "nodes behind the parent"),
    "a column beyond": ("column_P", lambda a: put(a, 3), "one of 3 columns"),
    "a column before": ("column_P", lambda a: put(a, -1), "one of 3 columns"),
    "a set beyond": ("set_P", lambda a: put(a, 1 << 20), "sets"),
    "an infinite leaf": ("leaf_L", lambda a: put(a, np.inf), "should be numbers"),
    "a threshold that is none": ("threshold_P", lambda a: put(a, np.nan), "should be numbers"),
    "two bases": ("base", lambda _: np.zeros(2), "`base` should be one number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_arrays_that_are_no_trees_are_refused(name: str) -> None:
    array, change, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        Forest.read(changed(array, change), 3)


def test_arrays_are_read_as_they_were_written() -> None:
    forest = forest_of(booster())
    again = Forest.read(forest.arrays, 3)
    for field in fields(Forest):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(forest, field.name))
    assert again.logits(np.empty((0, 3), np.float32)).shape == (0,)
