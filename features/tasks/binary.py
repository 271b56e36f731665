"""A task with two outcomes: its label is true, false, or unknown."""

from __future__ import annotations

from typing import Annotated

import polars as pl
from pydantic import Field, field_validator

from features.declared import Declared
from features.tasks.expressions import OWN_ROW, beyond_its_row, parsed


class Task(Declared):
    """A binary label.

    Args:
        positive: SQL expression over raw columns that is true, false or null. Null means unknown: the row is masked out
            of this task's loss and metrics.
        where: SQL expression that is true where the task is defined ("purchase only where clicked"); elsewhere the
            label is unknown.
        sample_weight: Raw column with the weight of each row in this task's loss, a weighted mean. Missing, negative
            and non-finite weights are 0. Metrics ignore weights.
        weight: Positive factor of this task's loss, applied before gradients are combined.
    """

    positive: str
    where: str | None = None
    sample_weight: str | None = None
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0

    @field_validator("positive", "where")
    @classmethod
    def _parses(cls, text: str | None) -> str | None:
        if text is not None:
            parsed(text)
        return text

    @property
    def beyond_its_row(self) -> list[str]:
        """The problems of expressions that read other rows: their labels would depend on how rows are cut into pieces.

        Models that were registered with such a task can still be loaded, so this is no part of validation.
        """
        written = {"positive": self.positive, "where": self.where}
        found = {key: beyond_its_row(text) for key, text in written.items() if text is not None}
        fix = "write the value into a column of the files, and compare that column"
        return [
            f"{key}: {' and '.join(f'`{name}`' for name in names)} needs more than a row; {OWN_ROW}: {fix}"
            for key, names in found.items()
            if names
        ]

    @property
    def expression(self) -> pl.Expr:
        """The label, as true, false or null."""
        positive = pl.sql_expr(self.positive)
        return positive if self.where is None else pl.when(pl.sql_expr(self.where)).then(positive)

    @property
    def sources(self) -> list[str]:
        """The raw columns that the label needs."""
        return list(dict.fromkeys(self.expression.meta.root_names()))

    @property
    def answers(self) -> list[str]:
        """The raw columns that reveal the label: no feature may read them."""
        return pl.sql_expr(self.positive).meta.root_names()
