"""The columns of the generated click log: their distributions, and the way from 16 random bits to a value.

Every column is a table over the 65,536 values of 16 bits, so that drawing is a look-up. The bits are those of the row
(the context of a click), or a hash of the user or the item: an attribute of a user is then the same on every row
without a table of users, and memory is independent of the number of users.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

BITS = 1 << 16
LONGEST = 8
_QUANTILES = (np.arange(BITS) + 0.5) / BITS
# Every 64th quantile is exact, the rest are interpolated, since the exact inverse is slow for all of them.
_COARSE = np.concatenate([_QUANTILES[:256], _QUANTILES[256:-256:64], _QUANTILES[-256:]])
NORMAL = np.interp(_QUANTILES, _COARSE, [NormalDist().inv_cdf(q) for q in _COARSE])

Array = npt.NDArray[Any]
Owner = Literal["user", "item", "row"]


@dataclass(frozen=True)
class Levels:
    """A categorical column.

    Args:
        of: Whose attribute it is.
        name: Column.
        count: Number of levels; level ``k`` has a weight of ``(1 + k) ** -skew``.
        skew: 0 for equal weights.
        nulls: Share of nulls.
        text: Levels are ``text_0``, ``text_1``, ...; integers when empty.
    """

    of: Owner
    name: str
    count: int
    skew: float = 0.7
    nulls: float = 0.0
    text: str = ""

    @cached_property
    def codes(self) -> Array:
        """The level of every 16-bit number; ``count`` stands for null."""
        weight = (1.0 + np.arange(self.count)) ** -self.skew
        shares = np.append(weight / weight.sum() * (1 - self.nulls), self.nulls)
        return np.searchsorted(shares.cumsum()[:-1], _QUANTILES, side="right").astype(np.uint16)

    def column(self, codes: dict[str, Array]) -> dict[str, pa.Array]:
        """The column of a chunk's codes."""
        code = codes[self.name]
        return {self.name: _named(self.text, self.count, code, code == self.count if self.nulls else None)}


@dataclass(frozen=True)
class Amount:
    """A numeric column, log-normal where it is neither null nor zero.

    Args:
        of: Whose attribute it is.
        name: Column.
        median: Median of the values above zero.
        spread: Standard deviation of their logarithm; above 1 the tail is heavy.
        nulls: Share of nulls.
        zeros: Share of zeros.
        most: Largest value.
        digits: Decimals; 0 for whole numbers.
    """

    of: Owner
    name: str
    median: float
    spread: float
    nulls: float = 0.0
    zeros: float = 0.0
    most: float = float("inf")
    digits: int = 2

    @cached_property
    def values(self) -> Array:
        """The value of every 16-bit number: first nulls, then zeros, then increasing values."""
        positive = NORMAL[
            np.linspace(0, BITS - 1, BITS - int((self.nulls + self.zeros) * BITS)).round().astype(np.intp)
        ]
        value = np.zeros(BITS)
        value[BITS - len(positive) :] = np.minimum(self.median * np.exp(self.spread * positive), self.most)
        return value.round(self.digits).astype(np.float32 if self.digits else np.int32)

    def column(self, codes: dict[str, Array]) -> dict[str, pa.Array]:
        """The column of a chunk's codes."""
        code = codes[self.name]
        return {
            self.name: pa.array(np.take(self.values, code), mask=code < int(self.nulls * BITS) if self.nulls else None)
        }


@dataclass(frozen=True)
class Tags:
    """A list column of up to eight distinct values, sometimes null.

    Args:
        of: Whose attribute it is.
        name: Column.
        count: Number of values, a multiple of eight; a list's values differ modulo eight, hence from one another.
        mean: Mean length of the lists that are not null.
        nulls: Share of null lists.
        text: As for :class:`Levels`.
        weights: Name of a column with a weight for each entry; none when empty.
    """

    of: Owner
    name: str
    count: int
    mean: float = 3.0
    nulls: float = 0.05
    text: str = ""
    weights: str = ""

    @cached_property
    def lengths(self) -> Array:
        """The length of every 16-bit number's list; -1 for null."""
        share = np.array([(self.mean / LONGEST) ** k * (1 - self.mean / LONGEST) ** (LONGEST - k) for k in range(9)])
        share *= [1, 8, 28, 56, 70, 56, 28, 8, 1]
        ends = self.nulls + (1 - self.nulls) * share.cumsum()
        return (np.searchsorted(np.append(self.nulls, ends[:-1]), _QUANTILES, side="right") - 1).astype(np.int8)

    @cached_property
    def codes(self) -> Array:
        """The value of every 16-bit number, without the residue modulo eight."""
        return Levels(self.of, self.name, self.count // LONGEST).codes * LONGEST

    def column(self, codes: dict[str, Array]) -> dict[str, pa.Array]:
        """The list column of a chunk's codes and, if it has one, the column of its weights."""
        length = codes["#" + self.name]
        used = np.arange(LONGEST, dtype=np.int8) < length[:, None]
        ends = np.append(0, np.maximum(length, 0).cumsum(dtype=np.int32))
        entries = {self.name: _named(self.text, self.count, codes[self.name][used], None)}
        if self.weights:
            entries[self.weights] = pa.array(codes[self.weights][used] / np.float32(100))
        offsets, null = pa.array(ends, pa.int32()), pa.array(length < 0)
        return {name: pa.ListArray.from_arrays(offsets, flat, mask=null) for name, flat in entries.items()}


def _named(text: str, count: int, codes: Array, null: Array | None) -> pa.Array:
    """Codes as integers, or as text in a dictionary array, so that Parquet need not compute the dictionary."""
    if not text:
        return pa.array(codes.astype(np.int32), mask=null)
    names = pa.array([f"{text}_{k}" for k in range(count)])
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int16), mask=null), names)


CATEGORIES, DEPARTMENTS = 400, 20

# 41 of the 46 features. The other five: `user_id`, `item_id`, `department` (from the category), `hour` and `weekday`.
CLICK_COLUMNS: tuple[Levels | Amount | Tags, ...] = (
    Levels("user", "user_segment", 24, 0.5, text="segment"),
    Levels("user", "age_group", 7, 0.3, 0.08, text="age"),
    Levels("user", "gender", 3, 0.9, 0.12, text="gender"),
    Levels("user", "country", 40, 1.3, text="country"),
    Levels("user", "city", 2_000, 0.9, 0.1),
    Levels("user", "user_level", 10, 0.8),
    Levels("user", "membership", 4, 1.2, text="member"),
    Levels("user", "signup_channel", 12, 0.8, text="channel"),
    Levels("user", "top_category", CATEGORIES, 0.6),
    Levels("item", "category", CATEGORIES, 0.6),
    Levels("item", "brand", 5_000, 0.9, 0.1, text="brand"),
    Levels("item", "seller", 20_000, 0.8),
    Levels("item", "color", 30, 0.8, 0.2, text="color"),
    Levels("item", "shipping", 5, 1.0, text="shipping"),
    Levels("row", "device", 5, 1.2, text="device"),
    Levels("row", "os", 8, 1.0, text="os"),
    Levels("row", "app_version", 60, 1.1, 0.15, text="v"),
    Levels("row", "page", 30, 1.0, text="page"),
    Levels("row", "position", 50, 0.9),
    Levels("row", "traffic", 15, 0.9, text="traffic"),
    Levels("row", "campaign", 500, 0.9, 0.6),
    Tags("user", "interests", 64, 3.5, 0.06, text="interest", weights="interest_weights"),
    Tags("user", "recent_categories", CATEGORIES, 4.0, 0.1),
    Tags("item", "item_tags", 96, 3.0, 0.04, text="tag"),
    Tags("row", "coupons", 16, 1.0, 0.02, text="coupon"),
    Tags("row", "query_terms", 1_600, 2.0, 0.3),
    Amount("item", "price", 30, 1.1),
    Amount("item", "discount", 0.2, 0.6, zeros=0.6, most=0.8),
    Amount("item", "rating", 4.2, 0.2, nulls=0.15, most=5.0),
    Amount("item", "review_count", 12, 1.9, zeros=0.15, digits=0),
    Amount("item", "item_age_days", 150, 1.2, digits=0),
    Amount("item", "stock", 40, 1.6, nulls=0.1, zeros=0.03, digits=0),
    Amount("item", "shipping_days", 3, 0.6, most=60, digits=0),
    Amount("user", "user_age_days", 400, 1.1, digits=0),
    Amount("user", "orders_30d", 2, 0.9, zeros=0.5, digits=0),
    Amount("user", "spend_30d", 60, 1.5, nulls=0.2, zeros=0.4),
    Amount("user", "clicks_7d", 15, 1.3, zeros=0.1, digits=0),
    Amount("row", "session_clicks", 4, 1.0, digits=0),
    Amount("row", "seconds_since_last", 25, 1.8, nulls=0.2),
    Amount("row", "relevance", 1.0, 0.5, digits=4),
    Amount("row", "distance_km", 80, 1.6, nulls=0.35),
)
