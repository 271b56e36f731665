"""The kinds of features, as a config declares them: what each reads and how it is to be encoded."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from features.declared import Declared

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Width = PositiveInt | None
Count = Annotated[int, Field(ge=0)]


class _Feature(Declared):
    """Any feature.

    Args:
        required: Whether every raw row must have a value in each of its columns; a promise that is checked.
        optional: Whether rows to score may come without its columns, as if they were null; rows to train on may not.
    """

    required: bool = False
    optional: bool = False

    @model_validator(mode="after")
    def _promises_one(self) -> Self:
        if self.required and self.optional:
            raise ValueError("a feature is `required` or `optional`, found both")
        return self


class Known(_Feature):
    """What categorical values are known by: a vocabulary fitted on training rows, or a hash.

    Args:
        column: Raw column; the feature's own name when omitted.
        width: Embedding width; by default the spec's, or one that grows with the table's rows.
        min_count: A value seen fewer times in training rows is out of vocabulary. With 1 every training value is known,
            so the out-of-vocabulary row is never trained and keeps its initial value, zero.
        max_size: Most values of the vocabulary, the most frequent ones; 0 for no limit.
        grow_by: The table has rows for a multiple of so many known values: a vocabulary that grows from day to day
            changes the table's shape only when these are used up.
        buckets: Rows of a table that values are hashed into, without a vocabulary; 0 for a vocabulary.
        table: Name of a table that several features share, and with it vocabulary, size and width; by default the
            feature has one of its own.
    """

    column: str | None = None
    width: Width = None
    min_count: PositiveInt = 1
    max_size: Count = 0
    grow_by: PositiveInt = 1
    buckets: Count = 0
    table: Name | None = None


class Categorical(Known):
    """One value a row: text, a boolean or an integer. Null has an id of its own."""

    kind: Literal["categorical"] = "categorical"


class MultiHot(Known):
    """A list of values a row, each text, a boolean or an integer, pooled into one embedding.

    Null entries are left out. A null or empty list is one entry with the id of null.

    Args:
        weights: Raw column with a list of numbers, one an entry; by default every entry counts alike. A missing,
            negative or non-finite weight is 0.
        pooling: ``"sum"``, or ``"mean"``: the sum divided by the sum of the weights.
        max_length: Entries of a row beyond this many are dropped; 0 for no limit.
    """

    kind: Literal["multi_hot"]
    weights: str | None = None
    pooling: Literal["sum", "mean"] = "mean"
    max_length: Count = 0


class Cross(_Feature):
    """The combination of the values of several categorical columns, hashed; null where one of them is.

    Args:
        columns: Two or more raw columns.
        buckets: Rows of its table.
        width: Embedding width; by default the spec's, or one that grows with the buckets.
    """

    kind: Literal["cross"]
    columns: Annotated[tuple[str, ...], Field(min_length=2)]
    buckets: PositiveInt
    width: Width = None


class Time(_Feature):
    """A part of a timestamp, with an embedding for each of its values.

    Args:
        column: Raw column with dates or datetimes, or their ISO text; the feature's own name when omitted.
        part: ``"hour"`` of the day, ``"weekday"`` or ``"month"``.
        width: Embedding width; by default the spec's, or one that grows with the table's rows.
    """

    kind: Literal["time"]
    column: str | None = None
    part: Literal["hour", "weekday", "month"]
    width: Width = None


class Numeric(_Feature):
    """A number, given to the model as a value, as a bucket with its own embedding, or both.

    Null, NaN and infinities are unknown: the value becomes the training mean (0 once standardised), the bucket id 1.

    Args:
        column: Raw column; the feature's own name when omitted. Any numeric type.
        until: Raw column with a timestamp: the number is then the hours from the timestamp in ``column`` to it.
        clip: Lowest and highest value; what is beyond becomes them.
        range: Lowest and highest number that raw rows may hold, before clipping; what is beyond is an error of the
            data. An infinity leaves a side open.
        log1p: Take ``sign(x) * log(1 + |x|)`` before standardising. Buckets do not depend on it.
        value: Whether the value is an input beside the embeddings.
        raw: Whether that value is left as it is, not standardised; 0 where unknown.
        buckets: Most quantile buckets, 0 for none. A value held by more than its share of rows gets a bucket of its
            own.
        width: Embedding width of the buckets; by default the spec's, or one that grows with their number.
    """

    kind: Literal["numeric"]
    column: str | None = None
    until: str | None = None
    clip: tuple[float, float] | None = None
    range: tuple[float, float] | None = None
    log1p: bool = False
    value: bool = True
    raw: bool = False
    buckets: Annotated[int, Field(ge=0, le=4096)] = 32
    width: Width = None

    @model_validator(mode="after")
    def _is_used(self) -> Numeric:
        if not self.value and not self.buckets:
            raise ValueError("a numeric feature needs `value = true` or `buckets > 0`, found neither")
        if self.clip and not self.clip[0] < self.clip[1]:
            raise ValueError(f"`clip` should be a lower and a higher number, found {list(self.clip)}")
        if self.range and not self.range[0] < self.range[1]:
            raise ValueError(f"`range` should be a lower and a higher number, found {list(self.range)}")
        return self


Feature = Annotated[Categorical | MultiHot | Cross | Time | Numeric, Field(discriminator="kind")]
