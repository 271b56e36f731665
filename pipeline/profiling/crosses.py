"""Crosses of the pairs of categories whose combination matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from pipeline.profiling.choice import Feature
from pipeline.profiling.column import Column
from pipeline.profiling.labels import Label
from pipeline.profiling.log import Log
from pipeline.profiling.pairs import Pair, find_pairs
from pipeline.profiling.splitting import Split
from pipeline.runtime.progress import Progress


def crosses(
    log: Log,
    labels: Sequence[Label],
    split: Split,
    features: Sequence[Feature],
    columns: Mapping[str, Column],
    progress: Progress,
) -> list[Feature]:
    """The crosses that matter, in the training rows of the sample."""
    return [_cross(pair) for pair in _pairs(log, labels, split, features, columns, progress)]


def _pairs(
    log: Log,
    labels: Sequence[Label],
    split: Split,
    features: Sequence[Feature],
    columns: Mapping[str, Column],
    progress: Progress,
) -> list[Pair]:
    """The pairs of categories whose combination matters."""
    is_training = split.part == "train"
    able = [columns[one.column] for one in features if one.keys["kind"] == "categorical" and "buckets" not in one.keys]
    answers = log.sample.filter(is_training).select(
        label.expression.cast(pl.Float64).fill_null(float("nan")).alias(label.name) for label in labels
    )
    label_by_task = {name: np.asarray(answers.get_column(name).to_numpy()) for name in answers.columns}
    return find_pairs([Column(column.values.filter(is_training)) for column in able], label_by_task, progress)


def _cross(pair: Pair) -> Feature:
    buckets = 1000
    while buckets < 10 * pair.cells:
        buckets *= 10
    why = (
        f"together they say more of {pair.task} than each alone, {pair.deviations:.1f} standard deviations above chance"
    )
    keys = {"kind": "cross", "columns": list(pair.columns), "buckets": buckets}
    return Feature("_".join(pair.columns), keys, why)
