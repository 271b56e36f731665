"""The split of rows into training, validation and test: by a stable hash of a key, or by time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from itertools import accumulate
from typing import Annotated, Any

import polars as pl
from pydantic import BeforeValidator, Field, model_validator

from features.declared import Declared
from features.naming import broken_key, key_text
from features.nearest import missing_column
from features.transforms import Unit, stable_hash, timestamp

SPLITS = ("train", "val", "test")


def _boundary(value: Any) -> float | date:
    """A share, a day, or a moment in UTC; a moment at midnight is the day that it begins."""
    rule = "should be a share of the rows (0.1), a day (2026-01-06) or a moment (2026-01-06T12:00:00+01:00)"
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(rule) from None
    if isinstance(value, datetime):
        at = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return at.date() if at.time() == time() else at
    if isinstance(value, date) or (isinstance(value, float) and 0 < value < 1):
        return value
    raise ValueError(rule)


Boundary = Annotated[float | date | datetime, BeforeValidator(_boundary)]


class SplitConfig(Declared):
    """The split of rows: by a seeded, version-stable hash of a key, whose rows then stay together, or by time.

    Args:
        key: Raw column; equal values stay together.
        time: Raw column with dates, datetimes or numbers since 1970, instead of a key: the earliest rows train. Times
            without a zone are taken as UTC.
        unit: Unit of a time that is a number since 1970: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``.
        seed: Seed of the split by key.
        validation: Share of the rows for validation: of the holdout if there is one, else of all rows. By time, the day
            or the moment at which validation begins, in UTC unless it has an offset; or a share: the last rows by time
            but for those of test. Rows of one instant stay together.
        test: Share for test, likewise. With a holdout the two add up to 1; without, the rest trains. By time, the
            beginning of test, or the share of the very last rows.
    """

    key: str | None = None
    time: str | None = None
    unit: Annotated[Unit | None, Field(exclude_if=lambda unit: unit is None)] = None
    seed: int = 0
    validation: Boundary = 0.5
    test: Boundary = 0.5

    @model_validator(mode="after")
    def _by_one_of_both(self) -> SplitConfig:
        found = f"validation = {self.validation} and test = {self.test}"
        shares = [isinstance(part, float) for part in (self.validation, self.test)]
        if (self.key is None) == (self.time is None):
            raise ValueError("rows are split by `key` or by `time`: give one of the two")
        if self.key is not None and not all(shares):
            raise ValueError("with `key`, `validation` and `test` are shares between 0 and 1, not days")
        if self.key is not None and self.unit is not None:
            raise ValueError("`unit` is that of the numbers in `time`; a `key` has none")
        if self.time is not None and not {"validation", "test"} <= self.model_fields_set:
            raise ValueError(
                "with `time`, give `validation` and `test`: the shares of the last rows, or where each begins"
            )
        if any(shares) and not all(shares):
            raise ValueError(f"`validation` and `test` are two shares, or the beginnings of both: found {found}")
        if not any(shares) and moment_of(self.validation) >= moment_of(self.test):
            raise ValueError(f"validation begins before test does: found {found}")
        return self

    @property
    def column(self) -> str:
        """The raw column that decides the split."""
        return self.key or self.time or ""

    @property
    def has_shares(self) -> bool:
        """Whether its parts are shares; of a split by time, :mod:`pipeline.data.moments` finds their beginnings."""
        return isinstance(self.test, float)

    def problems(self, schema: pl.Schema, subject: str) -> Iterator[str]:
        """The reasons why a table cannot be split.

        Args:
            schema: Schema of the raw table.
            subject: The table's name in the problems.
        """
        part, kind = "key" if self.time is None else "time", schema.get(self.column)
        if kind is None:
            yield missing_column(self.column, f"`[split] {part}`", subject, schema)
        elif self.time is not None and not self._has_times(kind):
            number = '; or say in which `unit` its numbers are: "s", "ms", "us" or "ns"' if kind.is_numeric() else ""
            rule = f"a split by time needs a date or datetime: cast it{number}"
            yield f"column `{self.column}` (`[split] time`) holds {kind}; {rule}"
        elif self.time is None and (broken := broken_key(kind)):
            yield f"column `{self.column}` (`[split] key`) holds {kind}; {broken}"

    def _has_times(self, kind: pl.DataType) -> bool:
        return isinstance(kind, pl.Date | pl.Datetime) or (kind.is_numeric() and self.unit is not None)

    @property
    def shares(self) -> dict[str, float]:
        """The shares of validation and test.

        Raises:
            AssertionError: If it has moments.
        """
        assert isinstance(self.validation, float), "this split has moments"
        assert isinstance(self.test, float), "this split has moments"
        return {"val": self.validation, "test": self.test}

    @property
    def moments(self) -> tuple[datetime, datetime]:
        """The beginnings of validation and of test, in UTC.

        Raises:
            AssertionError: If it has shares.
        """
        return moment_of(self.validation), moment_of(self.test)

    def instant(self, kind: pl.DataType) -> pl.Expr:
        """The time of each row as a Datetime in microseconds and UTC, null where a number is no time.

        Args:
            kind: The type of the column.
        """
        return timestamp(self.column, kind, self.unit)

    def split_of(self, schema: pl.Schema, *, holdout: bool) -> pl.Expr:
        """The split of each row; null where a row has no time. A split by time has to have moments.

        Args:
            schema: Schema of the rows.
            holdout: Whether the rows are the holdout, for validation and test alone.
        """
        if self.time is None:
            return split_by_key(
                self, self.shares if holdout else {"train": 1 - sum(self.shares.values()), **self.shares}
            )
        at, (validation, test) = self.instant(schema[self.time]), self.moments
        before_test = pl.when(at < test).then(pl.lit("val")).otherwise(pl.lit("test"))
        known = pl.when(at < validation).then(pl.lit("train")).otherwise(before_test)
        return pl.when(at.is_not_null()).then(known)


def moment_of(boundary: float | date | str) -> datetime:
    """The moment of a boundary that is a day or a moment, or the text of one, in UTC and without a zone."""
    known = _boundary(boundary)
    assert not isinstance(known, float), "a share has no moment"
    return known if isinstance(known, datetime) else datetime.combine(known, time())


def split_by_key(split: SplitConfig, shares: dict[str, float]) -> pl.Expr:
    """The split of a row: xxhash64 of seed and key, as a fraction, against the running sum of the shares.

    The key is hashed as text, bytes as their hexadecimal digits.
    """
    text = pl.format("{}:{}", pl.lit(split.seed), key_text(pl.col(split.column)).fill_null(""))
    fraction = stable_hash(text).cast(pl.Float64) / 2.0**64
    *ends, (last, _) = zip(shares, accumulate(shares.values()), strict=True)
    chosen = pl.lit(last)
    for name, end in reversed(ends):
        chosen = pl.when(fraction < end).then(pl.lit(name)).otherwise(chosen)
    return chosen
