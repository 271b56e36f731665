"""A list of categories a row, pooled into one embedding."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from features import transforms
from features.kinds.base import Count, Example, FittedFeature, RawType
from features.kinds.known import Known
from features.kinds.rules import is_category
from features.request.listed import Listed, Separated, whole_lists


class MultiHot(Known):
    """A list of values a row, each as of a :class:`~features.kinds.categorical.Categorical`, pooled into one embedding.

    Null entries are left out. A null or empty list is one entry with the id of null.

    Args:
        separator: Text between the entries of a column of text, such as ``"|"``. Spaces around entries do not
            count, and empty entries are left out. By default the column holds lists.
        weights: Raw column with a list of numbers, one for each entry; by default all entries count alike. A missing,
            negative or non-finite weight is 0, and so are all weights of a row without a list of them.
        pooling: ``"sum"``, or ``"mean"``: the sum divided by the sum of the weights.
        max_length: Entries of a row beyond this many are dropped; 0 for no limit.
    """

    is_multi_hot: ClassVar[bool] = True

    kind: Literal["multi_hot"]
    weights: str | None = None
    pooling: Literal["sum", "mean"] = "mean"
    max_length: Count = 0
    # Left out of fingerprints and encoders where it is not declared, as a unit is.
    separator: Annotated[str | None, Field(min_length=1, exclude_if=lambda text: text is None)] = None

    @model_validator(mode="after")
    def _has_lists(self) -> MultiHot:
        if self.separator and self.weights:
            raise ValueError("`weights` are beside lists: with a `separator` there are none")
        return self

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Texts, integers that are hashed and truncated, texts with weights, and texts to split."""
        tags = pl.DataFrame({"tags": [["new", "red", "new"], ["red", None], [], None]})
        seen = pl.DataFrame({"seen": [[3, 1, 4], [1, 5], [], None]})
        strengths = pl.Series([[1.0, 3.0, -2.0], [2.0, None], [], None])
        other = pl.DataFrame({"tags": [["big"], ["old", "cut"]]})
        joined = pl.DataFrame({"tags": ["new|red|new", " red | ", "", None]})
        return (
            Example({"kind": "multi_hot", "column": "tags"}, tags, other),
            Example(
                {"kind": "multi_hot", "column": "seen", "buckets": 9, "max_length": 2},
                seen,
                pl.DataFrame({"seen": [[8], [9, 2, 6]]}),
            ),
            Example(
                {"kind": "multi_hot", "column": "tags", "weights": "strength", "pooling": "sum"},
                tags.with_columns(strength=strengths),
                other.with_columns(strength=pl.Series([[0.5], [1.0, 2.0]])),
            ),
            Example(
                {"kind": "multi_hot", "column": "tags", "separator": "|"}, joined, pl.DataFrame({"tags": ["big|old"]})
            ),
        )

    def raw_columns(self, name: str) -> list[str]:
        """The lists, then their weights if there are any."""
        return [*super().raw_columns(name), *([self.weights] if self.weights else [])]

    def broken_rule(self, place: int, dtype: pl.DataType) -> str | None:
        """Lists of categories, or texts with a separator; lists of numbers for weights."""
        if self.separator:
            rule = f"with `separator = {json.dumps(self.separator)}` a multi-hot is text"
            return None if dtype in (pl.String, pl.Categorical, pl.Enum) else rule
        inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
        if place:
            is_right = inner is not None and (inner.is_numeric() or inner == pl.Null)
            return None if is_right else "weights are a list of numbers a row"
        is_right = inner is not None and is_category(inner)
        rule = "a multi-hot is a list of text or whole numbers a row"
        split = ', or text with a `separator`, such as "|"' if dtype == pl.String else ""
        return None if is_right else rule + split

    def typed(self, dtype: pl.DataType) -> pl.DataType:
        """A list, or text to split: lists of fixed length are lists, and a column without values, Null, is either."""
        if isinstance(dtype, pl.Array):
            return pl.List(dtype.inner)
        nothing = pl.String() if self.separator else pl.List(pl.Null)
        return nothing if dtype == pl.Null else dtype

    def request_value(self, place: int, dtype: str) -> Any:
        """A list of one entry, or the text of one."""
        if self.separator:
            return super().request_value(place, dtype)
        return [1.0] if place else [super().request_value(place, dtype)]

    @property
    def has_weights(self) -> bool:
        """True if a column of weights is declared."""
        return self.weights is not None

    @property
    def is_mean(self) -> bool:
        """True if the declared pooling is a mean."""
        return self.pooling == "mean"

    def values(self, name: str, schema: pl.Schema) -> tuple[pl.Expr, RawType]:
        """All entries if there are weights, which belong to one entry each; otherwise the known entries."""
        column, *_ = self.raw_columns(name)
        if self.separator:
            lists = transforms.separated(pl.col(column), self.separator)
            return transforms.entries(lists, self.max_length, all_kept=True), pl.String()
        kind = schema[column]
        inner = kind.inner if isinstance(kind, pl.List) else pl.Null()
        lists = pl.col(column)
        if inner.is_float():
            lists = lists.list.eval(pl.when(pl.element().is_finite()).then(pl.element()))
        return transforms.entries(lists, self.max_length, all_kept=self.has_weights), inner

    def weight_expression(self, name: str, schema: pl.Schema) -> pl.Expr:
        """The given weights, zeros where their list is null; a single 1 for an empty list.

        Null where there are more or fewer weights than entries: no reader may take such a row.
        """
        listed, weights = self.raw_columns(name)
        entries, given = (transforms.entries(pl.col(c), self.max_length, all_kept=True) for c in (listed, weights))
        whole, number = (transforms.length(c, schema[c]) for c in (listed, weights))
        zeros = pl.lit(0.0, pl.Float32).repeat_by(entries.list.len())
        known = pl.when(number == whole).then(transforms.given_weights(given, mean=self.is_mean))
        nothing = pl.lit([1.0], dtype=pl.List(pl.Float32))
        return pl.when(whole > 0).then(pl.when(number.is_null()).then(zeros).otherwise(known)).otherwise(nothing)

    def request_form(self, fitted: FittedFeature) -> Listed:
        """The entries, and their weights if there are any."""
        split = Separated(self.separator) if self.separator else whole_lists
        return Listed(self.numbering(fitted), split, self.max_length, self.has_weights, self.is_mean)
