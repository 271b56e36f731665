"""The split of rows into training, validation and test: by a stable hash of a key, or by time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import accumulate
from typing import Annotated

import polars as pl
from pydantic import Field, model_validator

from features.declared import Declared
from features.transforms import stable_hash

SPLITS = ("train", "val", "test")
Share = Annotated[float, Field(gt=0, lt=1)]


class SplitConfig(Declared):
    """The split of rows: by a seeded, version-stable hash of a key, whose rows then stay together, or by time.

    Args:
        key: Raw column; equal values stay together.
        time: Raw column with dates or datetimes, instead of a key: the earliest rows train.
        seed: Seed of the split by key.
        validation: Share of the rows for validation: of the holdout if there is one, else of all rows. By time, the
            first day of validation.
        test: Share for test, likewise. With a holdout the two add up to 1; without, the rest trains. By time, the first
            day of test.
    """

    key: str | None = None
    time: str | None = None
    seed: int = 0
    validation: Share | date = 0.5
    test: Share | date = 0.5

    @model_validator(mode="after")
    def _by_one_of_both(self) -> SplitConfig:
        validation, test = self.validation, self.test
        if (self.key is None) == (self.time is None):
            raise ValueError("rows are split by `key` or by `time`: give one of the two")
        if self.key is not None and (isinstance(validation, date) or isinstance(test, date)):
            raise ValueError("with `key`, `validation` and `test` are shares between 0 and 1, not days")
        in_order = isinstance(validation, date) and isinstance(test, date) and validation < test
        if self.time is not None and not in_order:
            raise ValueError(
                "with `time`, `validation` and `test` are days, the first one earlier: 2026-01-06, 2026-01-07"
            )
        return self

    @property
    def column(self) -> str:
        """The raw column that decides the split."""
        return self.key or self.time or ""

    def problems(self, schema: pl.Schema, subject: str) -> Iterator[str]:
        """The reasons why a table cannot be split.

        Args:
            schema: Schema of the raw table.
            subject: The table's name in the problems.
        """
        part, kind = "key" if self.time is None else "time", schema.get(self.column)
        if kind is None:
            yield f"column `{self.column}` (`[split] {part}`) is missing from {subject}"
        elif self.time is not None and not isinstance(kind, pl.Date | pl.Datetime):
            rule = "a split by time needs a date or datetime: cast it"
            yield f"column `{self.column}` (`[split] time`) holds {kind}; {rule}"

    @property
    def shares(self) -> dict[str, float]:
        """The shares of validation and test, of a split by key."""
        assert isinstance(self.validation, float), "a split by time has days"
        assert isinstance(self.test, float), "a split by time has days"
        return {"val": self.validation, "test": self.test}

    def split_of(self, *, holdout: bool) -> pl.Expr:
        """The split of each row; null where a row has no time.

        Args:
            holdout: Whether the rows are the holdout, for validation and test alone.
        """
        if self.time is None:
            return split_by_key(
                self, self.shares if holdout else {"train": 1 - sum(self.shares.values()), **self.shares}
            )
        day = pl.col(self.time).cast(pl.Date)
        before_test = pl.when(day < self.test).then(pl.lit("val")).otherwise(pl.lit("test"))
        known = pl.when(day < self.validation).then(pl.lit("train")).otherwise(before_test)
        return pl.when(day.is_not_null()).then(known)


def split_by_key(split: SplitConfig, shares: dict[str, float]) -> pl.Expr:
    """The split of a row: xxhash64 of seed and key, as a fraction, against the running sum of the shares.

    The key is hashed as text.
    """
    text = pl.format("{}:{}", pl.lit(split.seed), pl.col(split.column).cast(pl.String).fill_null(""))
    fraction = stable_hash(text).cast(pl.Float64) / 2.0**64
    *ends, (last, _) = zip(shares, accumulate(shares.values()), strict=True)
    chosen = pl.lit(last)
    for name, end in reversed(ends):
        chosen = pl.when(fraction < end).then(pl.lit(name)).otherwise(chosen)
    return chosen
