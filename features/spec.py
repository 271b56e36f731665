"""The declared table: which columns are features, which expressions are tasks, which columns may be neither.

A :class:`FeatureSpec` is read from TOML. It says nothing about files and holds nothing fitted: what is learnt from
training rows lives in :class:`features.encoder.Encoder`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Categorical(_Declared):
    """One value a row, looked up in a vocabulary fitted on training rows.

    Args:
        column: Raw column; the feature's own name when omitted. Text, booleans or integers.
        width: Embedding width.
        min_count: A value seen in fewer training rows is out of vocabulary. With 1 every training value is known,
            so the out-of-vocabulary row is never trained and keeps its initial value, zero.
    """

    kind: Literal["categorical"] = "categorical"
    column: str | None = None
    width: PositiveInt = 8
    min_count: PositiveInt = 1


class Numeric(_Declared):
    """A number, given to the model as a standardised value, as a bucket with its own embedding, or both.

    Null, NaN and infinities are unknown: the value becomes the training mean (0 once standardised), the bucket id 1.

    Args:
        column: Raw column; the feature's own name when omitted. Any numeric type.
        log1p: Take ``sign(x) * log(1 + |x|)`` before standardising. Buckets do not depend on it.
        value: Whether the standardised value is an input beside the embeddings.
        buckets: Most quantile buckets, 0 for none. A value held by more than its share of rows gets a bucket of its
        own.
        width: Embedding width of the buckets.
    """

    kind: Literal["numeric"]
    column: str | None = None
    log1p: bool = False
    value: bool = True
    buckets: Annotated[int, Field(ge=0, le=4096)] = 32
    width: PositiveInt = 8

    @model_validator(mode="after")
    def _is_used(self) -> Numeric:
        if not self.value and not self.buckets:
            raise ValueError("a numeric feature needs `value = true` or `buckets > 0`, found neither")
        return self


Feature = Annotated[Categorical | Numeric, Field(discriminator="kind")]


class Task(_Declared):
    """A binary label.

    Args:
        positive: SQL expression over raw columns that is true, false or null. Null means unknown: the row is masked out
            of this task's loss and metrics.
    """

    positive: str

    @field_validator("positive")
    @classmethod
    def _parses(cls, positive: str) -> str:
        try:
            pl.sql_expr(positive)
        except pl.exceptions.PolarsError as error:
            raise ValueError(f"not a SQL expression over raw columns: {error}") from error
        return positive

    @property
    def expression(self) -> pl.Expr:
        """The label, as true, false or null."""
        return pl.sql_expr(self.positive)

    @property
    def sources(self) -> list[str]:
        """The raw columns that the label is read from."""
        return self.expression.meta.root_names()


class FeatureSpec(_Declared):
    """What the model reads and what it predicts.

    Args:
        features: Feature name to its declaration, in the order the model sees them.
        tasks: Task name to its label, in the order of every result.
        excluded: Raw columns that may never be features, beside the label sources, which never may.

    Raises:
        pydantic.ValidationError: If a feature reads an excluded column or a label's source (all of them are named).
    """

    features: Annotated[dict[Name, Feature], Field(min_length=1)]
    tasks: Annotated[dict[Name, Task], Field(min_length=1)]
    excluded: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _no_leak(self) -> FeatureSpec:
        reasons = dict.fromkeys(self.excluded, "is excluded")
        for name, task in self.tasks.items():
            reasons |= dict.fromkeys(task.sources, f"is what task `{name}` is read from")
        leaks = [
            f"feature `{name}` reads column `{self.column(name)}`, which {reasons[self.column(name)]}"
            for name in self.features
            if self.column(name) in reasons
        ]
        if leaks:
            raise ValueError("; ".join(leaks))
        if not self.id_features:
            raise ValueError("no feature has an embedding table: declare a categorical, or `buckets` of a numeric")
        return self

    def column(self, feature: str) -> str:
        """The raw column that a feature reads."""
        return self.features[feature].column or feature

    @property
    def id_features(self) -> list[str]:
        """The features with an embedding table: every categorical and every bucketed numeric."""
        return [n for n, f in self.features.items() if isinstance(f, Categorical) or f.buckets]

    @property
    def value_features(self) -> list[str]:
        """The features given as standardised numbers."""
        return [n for n, f in self.features.items() if isinstance(f, Numeric) and f.value]
