"""A number: a value, a bucket with an embedding of its own, or both."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from features import transforms
from features.kinds.base import DeclaredUnit, Example, FittedFeature, Kind, Scale, Width
from features.kinds.rules import broken_timestamp, example_timestamp
from features.naming import NEWEST, Naming
from features.request.measured import Hours, Measured, number
from features.request.times import Clock

# The files of :mod:`models.encodings`, which this package may not import; a test compares the two.
ValueEncoding = Literal["piecewise", "periodic"]
_BUCKETS = _BINS = 32


class Numeric(Kind):
    """A number, given to the model as a value, as a bucket with its own embedding, or both.

    Null, NaN and infinities are unknown: the value becomes the training mean (0 once standardised), the bucket id 1.

    Args:
        column: Raw column; the feature's own name when omitted. Any numeric type.
        until: Raw column with a timestamp: the number is then the hours from the timestamp in ``column`` to it.
        unit: With ``until``, the unit of columns with numbers since 1970, as of a :class:`~features.kinds.time.Time`.
        clip: Lowest and highest value; a number outside becomes the nearer of the two.
        range: Lowest and highest number that raw rows may hold, before clipping; a number outside is an error in the
            data. An infinity leaves a side open.
        log1p: Take ``sign(x) * log(1 + |x|)`` before scaling. Buckets do not depend on it.
        value: Whether the network reads the value in addition to the embeddings.
        raw: Whether that value is left unstandardised; it is then 0 where unknown.
        buckets: Upper limit of quantile buckets; 0 for none. A value held by more than ``1 / buckets`` of the rows gets
            its own bucket.
        width: Embedding width of the buckets; by default the spec's, or a width that grows with their number.
        encoding: Encoding in place of the value, computed by the network: ``"piecewise"`` (piecewise-linear over
            quantile bins) or ``"periodic"``; see :mod:`models.encodings`. None for the value as it is.
        bins: Of ``encoding = "piecewise"``, the number of quantile bins; fewer where there are fewer values. A value
            held by more than ``1 / bins`` of the rows begins a bin that ends at the next value, so that there may be up
            to twice as many. Numbers closer than float32 tells apart share an edge.
        robust: Scale the value by median and interquartile range instead of mean and deviation, and clip it smoothly to
            (-3, 3): ``t / sqrt(1 + (t / 3) ** 2)``, as RealMLP does (Holzmüller et al., NeurIPS 2024). If half of the
            rows have one value, half the distance from the lowest to the highest number takes the place of the range. A
            constant's is 1, where the authors' code gives 0 for every number that is to be predicted.
    """

    has_scale: ClassVar[bool] = True
    is_ordered: ClassVar[bool] = True

    kind: Literal["numeric"]
    column: str | None = None
    until: str | None = None
    clip: tuple[float, float] | None = None
    range: tuple[float, float] | None = None
    log1p: bool = False
    value: bool = True
    raw: bool = False
    buckets: Annotated[int, Field(ge=0, le=4096)] = _BUCKETS
    width: Width = None
    unit: DeclaredUnit = None
    # Left out of fingerprints and encoders where they are not declared, as the unit is.
    encoding: Annotated[ValueEncoding | None, Field(exclude_if=lambda encoding: encoding is None)] = None
    bins: Annotated[int, Field(ge=2, le=512, exclude_if=lambda bins: bins == _BINS)] = _BINS

    robust: Annotated[bool, Field(exclude_if=lambda robust: not robust)] = False

    @model_validator(mode="after")
    def _is_used(self) -> Numeric:
        if not self.value and not self.buckets:
            raise ValueError("a numeric feature needs `value = true` or `buckets > 0`, found neither")
        if self.encoding and not self.value:
            raise ValueError("`encoding` is that of the value: give it `value = true`")
        if self.robust and (self.raw or not self.value):
            raise ValueError("`robust` scales the value: give it `value = true` and `raw = false`")
        if "bins" in self.model_fields_set and self.encoding != "piecewise":
            raise ValueError('`bins` are those of `encoding = "piecewise"`; quantile buckets are `buckets`')
        if self.unit is not None and self.until is None:
            raise ValueError("`unit` is that of timestamps: a numeric has it only with `until`")
        if self.clip and not self.clip[0] < self.clip[1]:
            raise ValueError(f"`clip` should be a lower and a higher number, found {list(self.clip)}")
        if self.range and not self.range[0] < self.range[1]:
            raise ValueError(f"`range` should be a lower and a higher number, found {list(self.range)}")
        return self

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Values with buckets, alone and encoded, buckets alone, and hours between two timestamps or numbers."""
        prices = pl.DataFrame({"price": [0.0, 0.0, 5.0, -3.0, 80.0, float("inf"), None]})
        beyond = pl.DataFrame({"price": [1e300, -1e300, 2.5]})
        last, now = datetime(2026, 1, 5, 22), datetime(2026, 1, 6)
        visits = pl.DataFrame({"last": [last, now, None], "now": [now, last, None]})
        seconds = visits.select(pl.all().dt.epoch("s"))
        return (
            Example({"kind": "numeric", "column": "price", "log1p": True, "buckets": 3}, prices, beyond),
            Example({"kind": "numeric", "column": "price", "buckets": 0, "clip": [0, 10]}, prices, beyond),
            Example({"kind": "numeric", "column": "price", "value": False, "range": [-10, 100]}, prices, beyond),
            Example({"kind": "numeric", "column": "price", "encoding": "piecewise", "bins": 4}, prices, beyond),
            Example({"kind": "numeric", "column": "price", "encoding": "periodic", "buckets": 0}, prices, beyond),
            Example({"kind": "numeric", "column": "price", "robust": True, "buckets": 0}, prices, beyond),
            Example({"kind": "numeric", "column": "last", "until": "now", "raw": True}, visits, visits[:2].reverse()),
            Example({"kind": "numeric", "column": "last", "until": "now", "unit": "s"}, seconds, seconds[:2].reverse()),
        )

    def raw_columns(self, name: str) -> list[str]:
        """The number; or two timestamps."""
        return [self.column or name, *([self.until] if self.until else [])]

    def broken_rule(self, place: int, dtype: pl.DataType) -> str | None:
        """A number; or two timestamps."""
        del place
        if self.until:
            return broken_timestamp(dtype, self.unit)
        return None if dtype.is_numeric() else "a numeric is any number type: cast it, or declare it categorical"

    def request_value(self, place: int, dtype: str) -> Any:
        """A number; or a timestamp as training has it."""
        return example_timestamp(dtype, self.unit) if self.until else super().request_value(place, dtype)

    def times(self, name: str) -> dict[str, transforms.Unit | None]:
        """The two timestamps, if it has any."""
        return dict.fromkeys(self.raw_columns(name), self.unit) if self.until else {}

    @property
    def has_ids(self) -> bool:
        """True if it has buckets."""
        return bool(self.buckets)

    @property
    def has_value(self) -> bool:
        """True if the value is declared an input."""
        return self.value

    @property
    def value_encoding(self) -> str | None:
        """The declared encoding."""
        return self.encoding

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The declared range."""
        return self.range

    @property
    def largest(self) -> float:
        """In float32 if the network reads the number as it is."""
        return 3e38 if self.raw and self.value else super().largest

    def with_ids(self) -> Self:
        """The same feature with the usual number of buckets if it has none."""
        return self.model_copy(update={"buckets": self.buckets or _BUCKETS})

    def measured(self, name: str, schema: pl.Schema, naming: Naming = NEWEST) -> pl.Expr:
        """The number as raw rows hold it, before clipping and logarithm."""
        columns = self.raw_columns(name)
        if self.until:
            first, last = (transforms.timestamp(c, schema[c], self.unit, any_zone=naming > 1) for c in columns)
            return transforms.hours_between(first, last)
        return transforms.finite(pl.col(columns[0]))

    def unknown(self, name: str, schema: pl.Schema, naming: Naming) -> pl.Expr:
        """Whether the number is null, NaN or infinite."""
        return self.measured(name, schema, naming).is_null()

    def numbers(self, name: str, schema: pl.Schema, naming: Naming) -> tuple[pl.Expr, pl.Expr]:
        """The clipped number after the logarithm, if one is declared, and before it."""
        plain = self._clipped(name, schema, naming)
        return self._logarithm(plain), plain

    def scale(self, mean: float, deviation: float, sample: pl.Series) -> Scale:
        """The scale of these moments, with edges at the sample's quantiles."""
        edges = transforms.bucket_edges(sample, self.buckets) if self.buckets else []
        bins = transforms.bin_edges(sample, self.bins) if self.encoding == "piecewise" else []
        if self.robust:
            mean, deviation = transforms.median_and_range(pl.select(self._logarithm(pl.lit(sample))).to_series())
        return Scale(mean=mean, deviation=deviation, edges=tuple(edges), bin_edges=tuple(bins))

    def known_values(self, fitted: FittedFeature) -> int:
        """The number of buckets: one more than edges."""
        return len(fitted.scale.edges) + 1

    def id_expression(self, name: str, schema: pl.Schema, fitted: FittedFeature) -> pl.Expr:
        """The bucket of the clipped number."""
        return transforms.bucket_id(self._clipped(name, schema, fitted.naming), fitted.scale.edges)

    def value_expression(self, name: str, schema: pl.Schema, fitted: FittedFeature) -> pl.Expr:
        """The number, standardised unless declared raw."""
        return self._scaled(self._logarithm(self._clipped(name, schema, fitted.naming)), fitted.scale)

    def request_form(self, fitted: FittedFeature) -> Measured:
        """The clipped number: its bucket, its value, or both."""
        return Measured(
            measure=Hours(Clock(self.unit, any_zone=fitted.naming > 1)) if self.until else number,
            clip=self.clip,
            edges=np.array(fitted.scale.edges, np.float64) if self.buckets else None,
            has_value=self.value,
            log1p=self.log1p,
            raw=self.raw,
            robust=self.robust,
            mean=fitted.scale.mean,
            deviation=fitted.scale.deviation,
        )

    def bin_edges(self, fitted: FittedFeature) -> list[float]:
        """The edges of the bins, scaled as the value is; edges that are one number then, or nearly, count once."""
        edges = pl.lit(pl.Series(fitted.scale.bin_edges, dtype=pl.Float64))
        scaled: list[float] = pl.select(self._scaled(self._logarithm(edges), fitted.scale)).to_series().to_list()
        return transforms.apart(scaled)

    def _scaled(self, value: pl.Expr, scale: Scale) -> pl.Expr:
        if self.raw:
            return value.fill_null(0.0).cast(pl.Float32)
        scaled = transforms.robust_value if self.robust else transforms.standard_value
        return scaled(value, scale.mean, scale.deviation)

    def _clipped(self, name: str, schema: pl.Schema, naming: Naming) -> pl.Expr:
        value = self.measured(name, schema, naming)
        return value.clip(*self.clip) if self.clip else value

    def _logarithm(self, value: pl.Expr) -> pl.Expr:
        return transforms.signed_log1p(value) if self.log1p else value
