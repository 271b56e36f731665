"""The base of every kind of feature: what the rest of the project asks of a feature, whatever its kind.

A kind is one file in this folder and the line that imports it in ``__init__.py``. It answers four questions: which raw
columns it reads and of which types, what it learns from training rows, which ids and numbers it makes of a row, and how
a reader of encoded rows should take them. The answers below are the usual ones; a kind states where it differs.

In every method ``name`` is the name of the declared feature and ``schema`` the schema of the raw rows.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import polars as pl
from polars.datatypes import DataTypeClass
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from features.declared import Declared

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Width = PositiveInt | None
Count = Annotated[int, Field(ge=0)]
RawType = pl.DataType | DataTypeClass


class Scale(BaseModel):
    """Fitted state of one number: mean and standard deviation of its value, and its bucket edges."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: float
    deviation: float
    edges: tuple[float, ...]


NO_SCALE = Scale(mean=0.0, deviation=1.0, edges=())
NO_VOCABULARY = pl.Series(dtype=pl.String)


@dataclass(frozen=True, eq=False)
class FittedFeature:
    """Everything that training rows taught about one feature.

    Args:
        vocabulary: Texts of the known values, in first-seen order; :data:`NO_VOCABULARY` for a feature without one.
        scale: Scale of its number; :data:`NO_SCALE` for a feature without one.
    """

    vocabulary: pl.Series
    scale: Scale


@dataclass(frozen=True, eq=False)
class Example:
    """A feature with rows that show it: its kind's tests run on these.

    Args:
        declared: The feature's keys, as a config has them.
        rows: Raw training rows. In the last one every column of the feature is null.
        unseen: Raw rows without nulls whose values no training row has.
    """

    declared: dict[str, Any]
    rows: pl.DataFrame
    unseen: pl.DataFrame


class Kind(Declared):
    """Any feature.

    Args:
        required: Whether every raw row must have a value in each of its columns; a promise that is checked.
        optional: Whether rows to score may come without its columns, as if they were null; rows to train on may not.
    """

    required: bool = False
    optional: bool = False

    if TYPE_CHECKING:
        # Each kind declares these itself, among its own keys: encoders and fingerprints hold keys in that order.
        kind: str
        width: int | None

    is_multi_hot: ClassVar[bool] = False
    """Whether a row has a list of ids, pooled into one embedding, and not one id."""
    has_scale: ClassVar[bool] = False
    """Whether training rows give it a scale; see :meth:`numbers` and :meth:`scale`."""
    is_ordered: ClassVar[bool] = False
    """Whether boosting splits it as a number, by less and more, and not as a category; true of a kind without ids."""
    is_comparable_by_day: ClassVar[bool] = True
    """Whether a single day should look like the training days; if not, the daily job does not judge its drift."""
    shared_keys: ClassVar[tuple[str, ...]] = ()
    """The keys that features which share a table have to declare alike."""

    @model_validator(mode="after")
    def _promises_one(self) -> Self:
        if self.required and self.optional:
            raise ValueError("a feature is `required` or `optional`, found both")
        return self

    @classmethod
    @abstractmethod
    def examples(cls) -> tuple[Example, ...]:
        """Examples of this kind, the plainest first; together they use each of its expressions."""

    # Raw columns.

    @abstractmethod
    def raw_columns(self, name: str) -> list[str]:
        """The raw columns that it reads, in an order that the methods below call `place`."""

    @abstractmethod
    def broken_rule(self, place: int, dtype: pl.DataType) -> str | None:
        """The rule that a column's type breaks, with the fix; None if it can be read. Never asked of type Null."""

    def read_as(self, dtype: pl.DataType, fitted: str) -> pl.DataType:
        """The type that a column of a request stands for, given the name of its type in the training rows.

        The two differ where the request's table format has fewer types: its rule is asked of the type returned.
        """
        del fitted
        return dtype

    def typed(self, dtype: pl.DataType) -> pl.DataType:
        """The type that a column is cast to before it is read: by default its own, type Null included."""
        return dtype

    def request_value(self, place: int, dtype: str) -> Any:
        """A made-up value of a column, as JSON has it, given the name of the column's type in the training rows."""
        del place
        if "Bool" in dtype:
            return True
        if "Float" in dtype or "Decimal" in dtype:
            return 1.0
        return 1 if "Int" in dtype else "example"

    # Which encoded columns it has.

    @property
    def has_ids(self) -> bool:
        """Whether a row has ids of it, and with them an embedding."""
        return True

    @property
    def has_value(self) -> bool:
        """Whether a row has a number of it, an input of the network beside the embeddings."""
        return False

    @property
    def has_weights(self) -> bool:
        """Whether the raw rows give each of its ids a weight; only of a multi-hot."""
        return False

    @property
    def is_mean(self) -> bool:
        """Whether its ids, where they have no weights, count as equal shares of 1 and not as 1 each."""
        return False

    @property
    def has_vocabulary(self) -> bool:
        """Whether training rows give its table a vocabulary; see :meth:`counted` and :meth:`vocabulary`."""
        return False

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The lowest and the highest number that raw rows may hold, if it has such; see :meth:`measured`."""
        return None

    def table_name(self, name: str) -> str:
        """The name of its embedding table."""
        return name

    def with_ids(self) -> Self:
        """The same feature with ids of its values, if its kind can give it some."""
        return self

    # Fitting.

    def counted(self, name: str, schema: pl.Schema) -> pl.Expr:
        """The values that its vocabulary counts, or a list of them a row; see :func:`features.transforms.key`."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no vocabulary")

    def vocabulary(self, known: pl.Series, counts: pl.DataFrame) -> pl.Series:
        """Its vocabulary: the texts known before, then the new ones.

        Args:
            known: Texts that earlier rows made known; they keep their places.
            counts: The other texts: ``value``, ``count``, and a number that grows with the place where ``first``.
        """
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no vocabulary")

    def measured(self, name: str, schema: pl.Schema) -> pl.Expr:
        """Its number as raw rows hold it, null where unknown."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no number")

    def numbers(self, name: str, schema: pl.Schema) -> tuple[pl.Expr, pl.Expr]:
        """The number whose mean and deviation are learnt, and the number whose quantiles are."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no scale")

    def scale(self, mean: float, deviation: float, sample: pl.Series) -> Scale:
        """Its scale, from the moments of one of its :meth:`numbers` and a sample of the other."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no scale")

    # Encoding. Id 1 is null, 2 out of vocabulary, and 3 the first known value.

    def known_values(self, fitted: FittedFeature) -> int:
        """The number of known values that its table has rows for, beside the three special ids."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no table")

    def id_expression(self, name: str, schema: pl.Schema, fitted: FittedFeature) -> pl.Expr:
        """Its id in int32, or a list of them that is never empty."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no ids")

    def weight_expression(self, name: str, schema: pl.Schema) -> pl.Expr:
        """The weights of a row's ids in float32, where :attr:`has_weights`."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no weights")

    def value_expression(self, name: str, schema: pl.Schema, fitted: FittedFeature) -> pl.Expr:
        """Its number in float32, never null, where :attr:`has_value`."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no value")
