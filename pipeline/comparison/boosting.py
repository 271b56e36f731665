"""The boosting baseline: gradient-boosted trees, one model a task, on the rows that the networks train on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from features.encoder import GROUP, LABEL, SAMPLE_WEIGHT
from pipeline.comparison.boosting_columns import Columns
from pipeline.comparison.scores import SCORES, TestRows, as_tensors, stored
from pipeline.config.run import RunConfig
from pipeline.data.batches import WINDOW
from pipeline.data.prepared import Prepared
from pipeline.evaluation.metrics import Evaluator
from pipeline.evaluation.ranking import NO_GROUP
from pipeline.evaluation.sample import sampled, sampling_step
from pipeline.files.atomic import fingerprint
from pipeline.runs.plan import BOOSTING
from pipeline.runs.run import Metrics, Run, load_run

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

# Validation AUC with and without the features of many values, among the metrics of a run that chose between the two.
WITH_IDS, WITHOUT_IDS = "auc_with_ids", "auc_without_ids"
ROWS = 500_000  # trained on at most: boosting holds 8 bytes of each of their columns, and a second copy at its start
SETTINGS: dict[str, Any] = {"learning_rate": 0.1, "max_iter": 1000, "n_iter_no_change": 20}
# Raised by one whenever equal configs on equal data would give results that differ from earlier ones.
_FORMAT = 2


@dataclass(frozen=True)
class _Trees:
    """A fitted model, the columns that it reads, and its metrics on the validation rows."""

    model: HistGradientBoostingClassifier
    columns: Columns
    val: Metrics


def find_boosting(config: RunConfig, prepared: Prepared, rows: TestRows) -> Run | None:
    """The finished run of a config's one task; None unless its scores of these rows are kept.

    Raises:
        InputError: If the run is damaged.
    """
    folder = boosting_folder(config, prepared)
    return None if stored(folder, rows) is None else load_run(folder, SCORES)


def boosting_folder(config: RunConfig, prepared: Prepared) -> Path:
    """The run folder of a config's one task; its name depends on no setting of the networks."""
    parts = {"format": _FORMAT, "data": prepared.fingerprint, "boosting": SETTINGS, "rows": ROWS}
    return config.runs / fingerprint(parts | {"tasks": config.tasks, "seed": config.train.seed})


def train_boosting(config: RunConfig, prepared: Prepared, rows: TestRows) -> Run:
    """Boost trees for a config's one task until 20 more of them do not lower the validation loss.

    Where features have more values than categories, trees without these features are boosted, too, and the validation
    AUC decides which of the two are the baseline. The run's metrics and its scores of the test rows are kept for the
    comparison; the model itself is dropped.
    """
    (task,) = config.tasks
    train = _read(prepared, "train", task)
    every = Columns.learnt(train, config.spec)
    tried = [_trees(every, train, config, prepared)]
    if every.many and len(every.many) < len(every.expressions):
        tried.append(_trees(every.without(every.many), train, config, prepared))
        aucs = {key: trees.val[task]["auc"] for key, trees in zip((WITH_IDS, WITHOUT_IDS), tried, strict=True)}
        tried = [replace(trees, val={task: trees.val[task] | aucs}) for trees in tried]
    best = max(tried, key=lambda trees: trees.val[task]["auc"])
    probability_N = best.model.predict_proba(best.columns.of(rows.features))[:, 1:].astype(np.float32)
    run = Run(
        folder=boosting_folder(config, prepared),
        tasks=[task],
        method=BOOSTING.name,
        seed=config.train.seed,
        best_epoch=best.model.n_iter_ - 1,
        val=best.val,
        test=_metrics(best.model, best.columns, prepared, "test", task),
        history=[],
        left_out=[name for name in every.expressions if name not in best.columns.expressions],
    )
    return run.save(config, SCORES, as_tensors(probability_N, rows))


def _trees(columns: Columns, train: pl.DataFrame, config: RunConfig, prepared: Prepared) -> _Trees:
    (task,) = config.tasks
    model = _fitted(columns, train, _read(prepared, "val", task), task, config.train.seed)
    return _Trees(model, columns, _metrics(model, columns, prepared, "val", task))


def _fitted(
    columns: Columns, train: pl.DataFrame, val: pl.DataFrame, task: str, seed: int
) -> HistGradientBoostingClassifier:
    # Imported here: every worker of a comparison imports this module, and scikit-learn would cost each 100 MB.
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        early_stopping=True, categorical_features=columns.categorical, random_state=seed, **SETTINGS
    )
    known = {"X_val": columns.of(val), "y_val": val.get_column(LABEL + task).to_numpy()}
    weights = (frame.get_column(SAMPLE_WEIGHT + task) for frame in (train, val) if SAMPLE_WEIGHT + task in frame)
    named = dict(zip(("sample_weight", "sample_weight_val"), (w.to_numpy() for w in weights), strict=False))
    model.fit(columns.of(train), train.get_column(LABEL + task).to_numpy(), **known, **named)
    return model


def _metrics(
    model: HistGradientBoostingClassifier, columns: Columns, prepared: Prepared, split: str, task: str
) -> Metrics:
    """Metrics over all rows of a split, read a window at a time."""
    evaluator = Evaluator([task])
    for frame in _windows(prepared, split):
        label_N = frame.get_column(LABEL + task).cast(pl.Float32).fill_null(float("nan")).to_numpy()
        group_N = frame.get_column(GROUP).to_numpy() if GROUP in frame.columns else None
        evaluator.update(label_N[:, None], model.predict_proba(columns.of(frame))[:, 1:], group_N)
    return evaluator.result()


def _windows(prepared: Prepared, split: str) -> Iterator[pl.DataFrame]:
    rows = prepared.scan(split)
    if GROUP in rows.collect_schema():
        rows = rows.with_columns(pl.col(GROUP).fill_null(NO_GROUP))
    for start in range(0, prepared.rows[split], WINDOW):
        yield rows.slice(start, WINDOW).collect()


def _read(prepared: Prepared, split: str, task: str) -> pl.DataFrame:
    """The rows of a split whose label is known; every n-th row of a split above the limit."""
    rows = prepared.scan(split)
    step = sampling_step(prepared.rows[split], ROWS)
    return sampled(rows, step).filter(pl.col(LABEL + task).is_not_null()).collect()
