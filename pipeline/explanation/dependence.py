"""Partial dependence: the mean prediction if every row had one value of a column."""

from __future__ import annotations

import numpy as np
import polars as pl
from pydantic import BaseModel

from features.spec import FeatureSpec
from pipeline.explanation.explained_rows import ExplainedRows

POINTS = 15
ROWS = 2000


class Curve(BaseModel):
    """The partial dependence of every task on one number.

    Args:
        column: The raw column.
        values: The values that all rows were given: quantiles of the column, ascending.
        means: Task to the mean probability at each value.
        missing: Task to the mean probability without a value; None if no row lacks one.
    """

    column: str
    values: list[float]
    means: dict[str, list[float]]
    missing: dict[str, float] | None = None


def numbers(spec: FeatureSpec, raw: pl.DataFrame) -> list[str]:
    """The columns of numbers that no feature reads as names or as times."""
    others = {c for name, feature in spec.features.items() for c in (*feature.categories(name), *feature.times(name))}
    return [c for c, dtype in raw.schema.items() if dtype.is_numeric() and c not in others]


def curve(rows: ExplainedRows, column: str) -> Curve | None:
    """The partial dependence on a column of numbers; None if it has fewer than two values.

    Friedman, `Greedy function approximation <https://doi.org/10.1214/aos/1013203451>`_, 2001, section 8.2, over every
    n-th row so that about :data:`ROWS` are scored. Rows are taken as they are otherwise: where the column goes together
    with others, some of the rows so made cannot occur.

    Args:
        rows: The rows.
        column: The column; every feature that reads it changes.
    """
    values = rows.raw.get_column(column)
    known = values.filter(values.is_finite()) if values.dtype.is_float() else values.drop_nulls()
    shares = np.linspace(0.01, 0.99, POINTS).tolist()
    at = sorted({value for share in shares if (value := known.quantile(share, "nearest")) is not None})
    if len(at) < 2:
        return None
    features = [n for n in rows.scorer.encoder.spec.features if column in rows.scorer.encoder.spec.columns(n)]
    few = rows.every(max(1, len(rows) // ROWS))

    def means(value: float | None) -> dict[str, float]:
        given = few.raw.with_columns(pl.lit(value, values.dtype).alias(column))
        return dict(zip(rows.scorer.tasks, few.score_NT(few.changed(given, features)).mean(0).tolist(), strict=True))

    found = [means(value) for value in at]
    missing = means(None) if len(known) < len(values) else None
    of_tasks = {task: [point[task] for point in found] for task in rows.scorer.tasks}
    return Curve(column=column, values=[float(value) for value in at], means=of_tasks, missing=missing)
