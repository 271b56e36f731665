"""Gradient-boosted trees, one model a task, on the rows that the networks train on: a baseline and a candidate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from features.encoder import LABEL, Encoder
from pipeline.comparison.boosting_rates import out_of_fold, rates
from pipeline.comparison.boosting_trees import Rows, grown
from pipeline.comparison.evaluated import evaluated
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.data.windows import Window
from pipeline.evaluation.sample import sampled, sampling_step
from pipeline.files.atomic import fingerprint
from pipeline.runs.plan import BOOSTING
from pipeline.runs.run import TREES, Metrics, Run, load_run
from pipeline.serving.kinds.boosting import Boosting, Trees
from pipeline.serving.trees.columns import Columns, ids_of, many_valued, rows_of_table

# Validation AUC with and without the features of many values, and with rates in their place, among the metrics of a run
# that chose between them.
WITH_IDS, WITHOUT_IDS, WITH_RATES = "auc_with_ids", "auc_without_ids", "auc_with_rates"
ROWS = 500_000  # trained on at most: the columns take 4 bytes each of them, and LightGBM's bins 1 more
TREES_AT_MOST, PATIENCE = 1000, 50
# LightGBM's tuned defaults for tables (RealMLP's authors), and small trees for logs whose labels are rare and noisy.
SETTINGS: dict[str, dict[str, Any]] = {
    "tuned": {
        "learning_rate": 0.04,
        "num_leaves": 50,
        "min_child_samples": 40,
        "bagging_fraction": 0.75,
        "bagging_freq": 1,
    },
    "small": {
        "learning_rate": 0.05,
        "num_leaves": 15,
        "min_child_samples": 100,
        "bagging_fraction": 0.75,
        "bagging_freq": 1,
        "feature_fraction": 0.5,
        "lambda_l2": 10.0,
        "cat_smooth": 50.0,
        "cat_l2": 50.0,
        "max_cat_threshold": 16,
    },
}
# Raised by one whenever equal configs on equal data would give results that differ from earlier ones.
_FORMAT = 3


@dataclass(frozen=True)
class _Tried:
    """Fitted trees, the way in which they read ids, and their validation metrics."""

    trees: Trees
    way: str
    val: Metrics

    @property
    def auc(self) -> float:
        """Validation AUC; the lowest where it is unknown."""
        (metrics,) = self.val.values()
        return 0.0 if isnan(metrics["auc"]) else metrics["auc"]


def find_boosting(config: RunConfig, prepared: Prepared) -> Run | None:
    """The finished run of a config's one task, if there is one.

    Raises:
        InputError: If the run is damaged.
    """
    return load_run(boosting_folder(config, prepared), TREES)


def boosting_folder(config: RunConfig, prepared: Prepared) -> Path:
    """The run folder of a config's one task; its name depends on no setting of the networks."""
    parts = {"format": _FORMAT, "data": prepared.fingerprint, "boosting": SETTINGS, "rows": ROWS}
    parts |= {"trees": TREES_AT_MOST, "patience": PATIENCE}
    return config.runs / fingerprint(parts | {"tasks": config.tasks, "seed": config.train.seed})


def train_boosting(config: RunConfig, prepared: Prepared) -> Run:
    """Boost trees for a config's one task, by each of the settings; the validation AUC chooses among all that is tried.

    Where features have more values than categories, trees are also boosted without them, and with the rates of their
    values in their place.
    """
    (task,) = config.tasks
    train, val = (_read(prepared, split, task) for split in ("train", "val"))
    tried = [
        _tried(training, settings, (train, val), config, prepared)
        for training in _ways(train, prepared.encoder(), config.train.seed)
        for settings in SETTINGS.values()
    ]
    best = max(tried, key=lambda one: one.auc)
    by_way = {way: max(one.auc for one in tried if one.way == way) for way in dict.fromkeys(one.way for one in tried)}
    read = {column.feature for column in best.trees.columns.columns}
    run = Run(
        folder=boosting_folder(config, prepared),
        tasks=[task],
        method=BOOSTING.name,
        seed=config.train.seed,
        best_epoch=len(best.trees.forest.root_K) - 1,
        val={task: best.val[task] | (by_way if len(by_way) > 1 else {})},
        test=evaluated(Boosting((best.trees,)), prepared, "test", [task]),
        history=[],
        left_out=[name for name in config.spec.features if name not in read],
    )
    return run.save(config, TREES, {name: torch.from_numpy(array.copy()) for name, array in best.trees.arrays.items()})


def _ways(train: Window, encoder: Encoder, seed: int) -> Iterator[_Training]:
    """The columns to try: with the features of many values; where there are any, also without, and with their rates."""
    every, many = Columns.learnt(train), many_valued(train)
    yield _Training(WITH_IDS, every, every.of(train))
    if many and len(many) < len(every.columns):
        few = every.without(many)
        yield _Training(WITHOUT_IDS, few, few.of(train))
    if many:
        few, label_N, weight_N = every.without(many), _labels(train), _weights(train)
        given = [(ids_of(train, name), label_N, weight_N, rows_of_table(encoder, name)) for name in many]
        own_NC = np.stack([out_of_fold(*one, seed) for one in given], axis=1)
        columns = few.with_rates({name: rates(*one) for name, one in zip(many, given, strict=True)})
        yield _Training(WITH_RATES, columns, np.concatenate([few.of(train), own_NC], axis=1))


@dataclass(frozen=True)
class _Training:
    """A way of ids, its columns, and their values for the training rows: rates differ from those of other rows."""

    way: str
    columns: Columns
    value_NC: npt.NDArray[np.float32]


def _tried(
    training: _Training,
    settings: Mapping[str, Any],
    windows: tuple[Window, Window],
    config: RunConfig,
    prepared: Prepared,
) -> _Tried:
    (task,), (train, val) = config.tasks, windows
    columns = training.columns
    forest = grown(
        Rows(training.value_NC, _labels(train), _weights(train)),
        Rows(columns.of(val), _labels(val), _weights(val)),
        columns.categorical,
        {**settings, "seed": config.train.seed},
        trees=TREES_AT_MOST,
        patience=PATIENCE,
    )
    trees = Trees(columns, forest)
    return _Tried(trees, training.way, evaluated(Boosting((trees,)), prepared, "val", [task]))


def _labels(window: Window) -> npt.NDArray[np.float64]:
    return window.labels_NT[:, 0].double().numpy()


def _weights(window: Window) -> npt.NDArray[np.float64]:
    return np.ones(len(window)) if window.weight_NT is None else window.weight_NT[:, 0].double().numpy()


def _read(prepared: Prepared, split: str, task: str) -> Window:
    """The rows of a split whose label is known; every n-th row of a split above the limit."""
    rows = prepared.scan(split)
    step = sampling_step(prepared.rows[split], ROWS)
    known = sampled(rows, step).filter(pl.col(LABEL + task).is_not_null()).collect()
    return Window.of(known, prepared.encoder().spec, [task])
