"""A task with two outcomes: its label is true, false, or unknown."""

from __future__ import annotations

from typing import Annotated

import polars as pl
from pydantic import Field, field_validator

from features.declared import Declared


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
        try:
            if text is not None:
                pl.sql_expr(text)
        except pl.exceptions.PolarsError as error:
            raise ValueError(f"not a SQL expression over raw columns: {error}") from error
        return text

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
