"""The boosting baseline: gradient-boosted trees, one model a task, on the rows that the networks train on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from features.encoder import GROUP, ID, LABEL, SAMPLE_WEIGHT, VALUE
from features.kinds import Feature
from features.spec import FeatureSpec
from features.transforms import NULL
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

ROWS = 500_000  # trained on at most: boosting holds 8 bytes of each of their columns, and a second copy at its start
SETTINGS: dict[str, Any] = {"learning_rate": 0.1, "max_iter": 1000, "n_iter_no_change": 20}
_CATEGORIES = 254  # and one for all others: scikit-learn's bins are 255
_ENTRIES = 16
# Raised by one whenever equal configs on equal data would give results that differ from earlier ones.
_FORMAT = 1

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Columns:
    """Encoded columns as boosting reads them.

    - A number is the network's value, unknown where the network has an id for a missing one; a feature that the network
      reads by its bucket alone is the bucket's number.
    - A category is one of the 254 most frequent of the training rows, or a last one for all others.
    - A list becomes its length, and for each of the 16 most frequent entries a column that tells whether the list has
      it.

    Args:
        expressions: One expression a column, in float32.
        categorical: Whether each column is a category.
    """

    expressions: list[pl.Expr]
    categorical: list[bool]

    @classmethod
    def learnt(cls, rows: pl.DataFrame, spec: FeatureSpec) -> Columns:
        """Columns whose frequent values are counted on training rows."""
        expressions, categorical = [], []
        for name, feature in spec.features.items():
            if feature.is_multi_hot:
                new = _entries(rows, name)
            elif feature.is_ordered:
                new = [_number(name, feature)]
            else:
                new = [category_column(rows, name)]
            expressions += new
            categorical += [not feature.is_multi_hot and not feature.is_ordered] * len(new)
        return cls([e.cast(pl.Float32) for e in expressions], categorical)

    def of(self, rows: pl.DataFrame) -> Array:
        """Rows x columns, NaN where unknown."""
        columns = [expression.alias(str(i)) for i, expression in enumerate(self.expressions)]
        return rows.select(columns).fill_null(float("nan")).to_numpy()


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


def boosting_note(prepared: Prepared) -> str:
    """A sentence on the baseline, with the share of the rows that it trains on if it is a sample."""
    words = "boosting: scikit-learn's HistGradientBoostingClassifier, one model a task; Mean Rank is of networks only"
    step = sampling_step(prepared.rows["train"], ROWS)
    return words if step == 1 else f"{words}; trained on one in {step} of {prepared.rows['train']:,} rows"


def train_boosting(config: RunConfig, prepared: Prepared, rows: TestRows) -> Run:
    """Boost trees for a config's one task until 20 more of them do not lower the validation loss.

    The run's metrics and its scores of the test rows are kept for the comparison; the model itself is dropped.
    """
    (task,) = config.tasks
    train = _read(prepared, "train", task)
    columns = Columns.learnt(train, config.spec)
    model = _fitted(columns, train, _read(prepared, "val", task), task, config.train.seed)
    probability_N = model.predict_proba(columns.of(rows.features))[:, 1:].astype(np.float32)
    run = Run(
        folder=boosting_folder(config, prepared),
        tasks=[task],
        method=BOOSTING.name,
        seed=config.train.seed,
        best_epoch=model.n_iter_ - 1,
        val=_metrics(model, columns, prepared, "val", task),
        test=_metrics(model, columns, prepared, "test", task),
        history=[],
    )
    return run.save(config, SCORES, as_tensors(probability_N, rows))


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
    rows = pl.scan_parquet(prepared.folder / split / "*.parquet")
    if GROUP in rows.collect_schema():
        rows = rows.with_columns(pl.col(GROUP).fill_null(NO_GROUP))
    for start in range(0, prepared.rows[split], WINDOW):
        yield rows.slice(start, WINDOW).collect()


def _read(prepared: Prepared, split: str, task: str) -> pl.DataFrame:
    """The rows of a split whose label is known; every n-th row of a split above the limit."""
    rows = pl.scan_parquet(prepared.folder / split / "*.parquet")
    step = sampling_step(prepared.rows[split], ROWS)
    return sampled(rows, step).filter(pl.col(LABEL + task).is_not_null()).collect()


def _number(name: str, feature: Feature) -> pl.Expr:
    value = pl.col((VALUE if feature.has_value else ID) + name)
    return pl.when(pl.col(ID + name) != NULL).then(value) if feature.has_ids else value


def category_column(rows: pl.DataFrame, name: str) -> pl.Expr:
    """A category's code: 0 for the most frequent id of the rows, 1 for the next, a last code for all rare ids."""
    frequent = _frequent(rows.get_column(ID + name), _CATEGORIES)
    codes = pl.Series(range(len(frequent)), dtype=pl.Int32)
    return pl.col(ID + name).replace_strict(frequent, codes, default=len(frequent), return_dtype=pl.Int32)


def _entries(rows: pl.DataFrame, name: str) -> list[pl.Expr]:
    entries = pl.col(ID + name)
    frequent = _frequent(rows.get_column(ID + name).explode(), _ENTRIES)
    return [entries.list.len(), *(entries.list.contains(entry) for entry in frequent)]


def _frequent(ids: pl.Series, most: int) -> pl.Series:
    """The most frequent ids, most frequent first; of equally frequent ids the smaller comes first."""
    counts = ids.drop_nulls().alias("id").value_counts(name="rows")
    return counts.sort(["rows", "id"], descending=[True, False]).head(most).get_column("id")
