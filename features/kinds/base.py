"""The base of every kind of feature: the interface through which the rest of the project uses a feature.

A kind is one file in this folder and the line that imports it in ``__init__.py``. It answers four questions: which raw
columns it reads and of which types, what it learns from training rows, which ids and numbers it makes of a row (as
expressions for files, and as a form for requests: see :mod:`features.request`), and how
a reader should interpret the encoded rows. The answers below are the usual ones; a kind overrides those that differ.

In every method ``name`` is the name of the declared feature and ``schema`` the schema of the raw rows.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from features.declared import Declared
from features.naming import NEWEST, Naming
from features.naming import RawType as RawType
from features.request.form import Form
from features.request.vocabulary import Vocabulary
from features.transforms import Unit

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Width = PositiveInt | None
# Left out of fingerprints and encoders where it is not declared: those made before there was this key stay the same.
DeclaredUnit = Annotated[Unit | None, Field(exclude_if=lambda unit: unit is None)]
Count = Annotated[int, Field(ge=0)]


class Scale(BaseModel):
    """Fitted state of one number.

    Args:
        mean: Mean of its value, or its median if the feature is scaled by that.
        deviation: Standard deviation of its value, or its interquartile range.
        edges: Edges of its buckets.
        bin_edges: Edges of the bins of a piecewise-linear encoding, the lowest and the highest number among them; empty
            without such an encoding.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: float
    deviation: float
    edges: tuple[float, ...]
    # Left out where there are none: encoders made before there were encodings stay the same.
    bin_edges: Annotated[tuple[float, ...], Field(exclude_if=lambda edges: not edges)] = ()


# Largest magnitude of a number that has a mean and a deviation in float64, whatever the number of rows.
LARGEST = 1e140
NO_SCALE = Scale(mean=0.0, deviation=1.0, edges=())
NO_VOCABULARY = pl.Series(dtype=pl.String)
NO_LOOKUP = Vocabulary((), NEWEST)


@dataclass(frozen=True, eq=False)
class FittedFeature:
    """The fitted state of one feature.

    Args:
        vocabulary: Names of the known values, in first-seen order; :data:`NO_VOCABULARY` for a feature without one.
        scale: Scale of its number; :data:`NO_SCALE` for a feature without one.
        naming: The rule of :mod:`features.naming` that its values are read by.
        lookup: The vocabulary as requests look values up, shared by the features of its table.
    """

    vocabulary: pl.Series
    scale: Scale
    naming: Naming = NEWEST
    lookup: Vocabulary = NO_LOOKUP


@dataclass(frozen=True, eq=False)
class Example:
    """A feature with example rows, on which the tests of its kind run.

    Args:
        declared: The feature's keys, as a config has them.
        rows: Raw training rows. In the last one every column of the feature is null.
        unseen: Raw rows without nulls, with values that occur in no training row.
    """

    declared: dict[str, Any]
    rows: pl.DataFrame
    unseen: pl.DataFrame


class Kind(Declared):
    """Any feature.

    Args:
        required: Whether every raw row must have a value in each of its columns. This is checked.
        optional: Whether rows to score may lack its columns, which then count as null. Training rows must have them.
    """

    required: bool = False
    optional: bool = False

    if TYPE_CHECKING:
        # Each kind declares these two among its own keys: encoders and fingerprints hold keys in that order.
        kind: str
        width: int | None

    is_multi_hot: ClassVar[bool] = False
    """Whether a row has a list of ids, pooled into one embedding, instead of a single id."""
    has_scale: ClassVar[bool] = False
    """Whether a scale is fitted to training rows; see :meth:`numbers` and :meth:`scale`."""
    is_ordered: ClassVar[bool] = False
    """Whether boosting splits it as a number instead of a category; always true of a kind without ids."""
    is_comparable_by_day: ClassVar[bool] = True
    """Whether its values on a single day should look like those of the training days: only then is drift judged."""
    is_name: ClassVar[bool] = False
    """Whether its value names one thing of each row, such as a user or an item: scores are written next to it."""
    shared_keys: ClassVar[tuple[str, ...]] = ()
    """The keys that must be equal in all features that share a table."""

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
        """The raw columns that it reads; the methods below call a column's position in this list its `place`."""

    @abstractmethod
    def broken_rule(self, place: int, dtype: pl.DataType) -> str | None:
        """The rule that a column's type breaks, with the fix; None if it can be read. The type is never Null."""

    def typed(self, dtype: pl.DataType) -> pl.DataType:
        """The type that a column is cast to before it is read: by default its own, type Null included."""
        return dtype

    def categories(self, name: str) -> list[str]:
        """The raw columns whose values, or whose lists' entries, are categories, known by their names."""
        del name
        return []

    def request_value(self, place: int, dtype: str) -> Any:
        """A made-up value of a column, as JSON has it, given the name of the column's type in the training rows."""
        del place
        if "Bool" in dtype:
            return True
        if "Binary" in dtype:
            return "0a1b"
        if "Float" in dtype or "Decimal" in dtype:
            return 1.0
        return 1 if "Int" in dtype else "example"

    # Which encoded columns it has.

    @property
    def has_ids(self) -> bool:
        """Whether it has ids, and with them an embedding."""
        return True

    @property
    def has_value(self) -> bool:
        """Whether it has a number that the network reads in addition to the embeddings."""
        return False

    @property
    def value_encoding(self) -> str | None:
        """The encoding of its number that the network computes, by its name there; None for the number as it is."""
        return None

    @property
    def has_weights(self) -> bool:
        """Whether the raw rows give each of its ids a weight; only a multi-hot can have weights."""
        return False

    @property
    def is_mean(self) -> bool:
        """Whether ids without weights count as equal shares of 1 (a mean) instead of 1 each (a sum)."""
        return False

    @property
    def has_vocabulary(self) -> bool:
        """Whether its table has a vocabulary fitted to training rows; see :meth:`values` and :meth:`vocabulary`."""
        return False

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The lowest and the highest number that raw rows may hold; None without limits. See :meth:`measured`."""
        return None

    def times(self, name: str) -> dict[str, Unit | None]:
        """The raw columns with timestamps, and the declared unit of those that are numbers."""
        del name
        return {}

    @property
    def largest(self) -> float:
        """The largest magnitude that the first of its :meth:`numbers` may have in training rows."""
        return LARGEST

    def table_name(self, name: str) -> str:
        """The name of its embedding table."""
        return name

    def with_ids(self) -> Self:
        """The same feature with ids, if its kind can have ids."""
        return self

    # What only some kinds have raises here. Callers look at the properties above first: only their faults meet it.

    # Fitting.

    def values(self, name: str, schema: pl.Schema) -> tuple[pl.Expr, RawType]:
        """The values that its vocabulary knows, one or a list a row, and the type of one value."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no vocabulary")

    def vocabulary(self, known: pl.Series, counts: pl.DataFrame) -> pl.Series:
        """The names of its vocabulary: those known before, then the new ones.

        Args:
            known: Names known from earlier rows; they keep their places.
            counts: The other names: ``value``, ``count``, and ``first``, a number that orders them by first sight.
        """
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no vocabulary")

    def measured(self, name: str, schema: pl.Schema, naming: Naming = NEWEST) -> pl.Expr:
        """Its number as raw rows hold it, null where unknown, by the rule of an encoder."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no number")

    def unknown(self, name: str, schema: pl.Schema, naming: Naming) -> pl.Expr:
        """Whether a raw row has no value; asked of features without ids, whose numbers do not show it."""
        del schema, naming
        return pl.all_horizontal(pl.col(column).is_null() for column in self.raw_columns(name))

    def numbers(self, name: str, schema: pl.Schema, naming: Naming) -> tuple[pl.Expr, pl.Expr]:
        """Two numbers: one whose mean and deviation are learnt, one whose quantiles are learnt."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no scale")

    def scale(self, mean: float, deviation: float, sample: pl.Series) -> Scale:
        """Its scale, from the moments of the first of its :meth:`numbers` and a sample of the second."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no scale")

    # Encoding. Id 1 is null, 2 out of vocabulary, and 3 the first known value.

    def known_values(self, fitted: FittedFeature) -> int:
        """The number of known values that its table has rows for; the three special ids come on top."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no table")

    def id_expression(self, name: str, schema: pl.Schema, fitted: FittedFeature) -> pl.Expr:
        """Its id in int32, or a list of them that is never empty."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no ids")

    def weight_expression(self, name: str, schema: pl.Schema) -> pl.Expr:
        """The weights of a row's ids in float32; called if :attr:`has_weights`."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no weights")

    def value_expression(self, name: str, schema: pl.Schema, fitted: FittedFeature) -> pl.Expr:
        """Its number in float32, never null; called if :attr:`has_value`."""
        raise NotImplementedError(f"a feature of kind `{self.kind}` has no value")

    @abstractmethod
    def request_form(self, fitted: FittedFeature) -> Form:
        """The form that encodes its columns in a request: what the expressions above give, to the bit.

        The form raises :class:`features.request.column.UnreadError` for whatever it does not read; the expressions
        read or refuse it then.
        """

    def bin_edges(self, fitted: FittedFeature) -> list[float]:
        """The edges of its fitted bins in the units of :meth:`value_expression`, ascending; empty without bins."""
        del fitted
        return []
