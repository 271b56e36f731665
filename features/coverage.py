"""How much of some rows an encoder knows: for each feature the rows that are unknown, unseen, or all alike."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl
from pydantic import BaseModel

from features.encoder import ID, VALUE, Encoder
from features.transforms import NULL, OUT_OF_VOCABULARY

Number = float | None


class Known(NamedTuple):
    """Counts of one feature on some rows.

    Args:
        unknown: Rows without a value: null, NaN, a list without entries, a text that is no time.
        unseen: Rows whose values are all out of vocabulary.
        low: Lowest id of all rows, or encoded number of a feature without ids; None without rows.
        high: Highest id or number.
    """

    unknown: int = 0
    unseen: int = 0
    low: Number = None
    high: Number = None


class Coverage(BaseModel):
    """Counts of some rows; those of other rows can be added.

    Args:
        rows: Number of rows.
        features: Feature to its counts.
    """

    rows: int = 0
    features: dict[str, Known] = {}

    @classmethod
    def of(cls, encoder: Encoder, raw: pl.DataFrame, encoded: pl.DataFrame) -> Coverage:
        """Count some rows.

        Args:
            encoder: The encoder of the rows.
            raw: The rows before they are encoded; read only for features without ids.
            encoded: The same rows, encoded.
        """
        spec = encoder.spec
        others = [name for name in spec.features if name not in spec.id_features]
        # Once a row, in a step of its own: Polars would walk the lists anew for each of the four counts.
        highest = encoded.select(**{n: _highest(n, is_list=n in spec.multi_hot_features) for n in spec.id_features})
        counts = {name: _of_ids(name) for name in spec.id_features} | {name: _of_values(name) for name in others}
        lists = {name: pl.col(ID + name).list.explode().min() for name in spec.multi_hot_features}
        found = highest.hstack(encoded.select(VALUE + name for name in others)).select(**counts).row(0, named=True)
        for name, low in encoded.select(**lists).row(0, named=True).items() if lists else ():
            found[name] |= {"low": low}
        known = {name: Known(**found[name]) for name in spec.features}
        unknown = {name: spec.features[name].unknown(name, raw.schema, encoder.naming).sum() for name in others}
        for name, rows in raw.select(**unknown).row(0, named=True).items() if unknown else ():
            known[name] = known[name]._replace(unknown=rows)
        return cls(rows=encoded.height, features=known)

    def plus(self, other: Coverage) -> Coverage:
        """The counts of both rows together; a feature that one of them lacks counts as known there."""
        names = dict.fromkeys([*self.features, *other.features])
        pairs = {n: (self.features.get(n, Known()), other.features.get(n, Known())) for n in names}
        return Coverage(rows=self.rows + other.rows, features={n: _sum(*pair) for n, pair in pairs.items()})

    def shares(self) -> dict[str, dict[str, int]]:
        """For each feature the number of rows, and of those whose value is unknown or unseen."""
        return {n: {"rows": self.rows, "unknown": k.unknown, "unseen": k.unseen} for n, k in self.features.items()}

    def known(self, name: str) -> int:
        """The number of rows with a known value of a feature."""
        return self.rows - self.features[name].unknown - self.features[name].unseen

    def is_constant(self, name: str) -> bool:
        """Whether all rows have the same known value of a feature, or one bucket of its numbers."""
        found = self.features[name]
        return self.rows > 0 and self.known(name) == self.rows and found.low == found.high


def _highest(name: str, *, is_list: bool) -> pl.Expr:
    """The highest id of each row: the special ids are below the known ones, and a list is never empty."""
    ids = pl.col(ID + name)
    return ids.list.max() if is_list else ids


def _of_ids(name: str) -> pl.Expr:
    highest = pl.col(name)
    return pl.struct(
        unknown=(highest == NULL).sum(),
        unseen=(highest == OUT_OF_VOCABULARY).sum(),
        low=highest.min(),
        high=highest.max(),
    )


def _of_values(name: str) -> pl.Expr:
    return pl.struct(low=pl.col(VALUE + name).min(), high=pl.col(VALUE + name).max())


def _sum(one: Known, other: Known) -> Known:
    lows, highs = ([n for n in pair if n is not None] for pair in ((one.low, other.low), (one.high, other.high)))
    low, high = min(lows, default=None), max(highs, default=None)
    return Known(one.unknown + other.unknown, one.unseen + other.unseen, low, high)
