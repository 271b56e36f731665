"""Times that are numbers since 1970: read in their unit, the same as the datetimes that they stand for."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

import polars as pl
import pytest
from pydantic import ValidationError

from features.contract import check_features
from features.fitting import fit
from features.spec import FeatureSpec
from features.transforms import Unit, timestamp

UNITS = get_args(Unit)
TIMES = [datetime(2026, 1, 31, 18, 30), datetime(1900, 1, 1), datetime(1969, 12, 31, 23), datetime(2199, 12, 31), None]


def numbers(unit: Unit, times: list[datetime | None] = TIMES) -> pl.Series:
    return pl.Series("at", times, pl.Datetime("us")).dt.epoch(unit)


def read(values: pl.Series, unit: Unit) -> list[datetime | None]:
    return values.to_frame("at").select(timestamp("at", values.dtype, unit)).to_series().to_list()


def spec(**features: dict[str, Any]) -> FeatureSpec:
    declared = {"hour": {"kind": "time", "column": "at", "part": "hour", **features.pop("hour", {})}, **features}
    return FeatureSpec.model_validate({"features": declared, "tasks": {"y": {"positive": "y = 1"}}})


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64, pl.Decimal(38, 3), pl.Int128], ids=str)
@pytest.mark.parametrize("unit", UNITS)
def test_a_number_is_the_time_that_it_stands_for(unit: Unit, dtype: pl.DataType) -> None:
    assert read(numbers(unit).cast(dtype), unit) == TIMES


def test_a_fraction_of_a_second_is_kept_and_a_nanosecond_is_cut() -> None:
    second = numbers("s", [TIMES[0]]).cast(pl.Float64) + 0.25
    assert read(second, "s") == [datetime(2026, 1, 31, 18, 30, 0, 250_000)]
    for earlier in (datetime(2026, 1, 31, 18, 30), datetime(1969, 12, 31, 23)):
        assert read(numbers("ns", [earlier]) + 999, "ns") == [earlier]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    "value", [2**63 - 1, -(2**63), 2**64 - 1, float("nan"), float("inf"), 1.797e308, Decimal(10**30)], ids=str
)
def test_a_number_outside_of_the_years_is_unknown(unit: Unit, value: Any) -> None:
    dtype = pl.UInt64 if value == 2**64 - 1 else None
    assert read(pl.Series("at", [value], dtype), unit) == [None]


def test_dates_datetimes_and_texts_are_read_as_they_are() -> None:
    moment = datetime(2026, 1, 31, 18, 30)
    for values in ([moment], [moment.replace(tzinfo=UTC)], [moment.isoformat()]):
        assert read(pl.Series("at", values), "s") == [moment]


@pytest.mark.parametrize("unit", UNITS)
def test_an_hour_and_hours_until_are_those_of_the_datetimes(unit: Unit) -> None:
    wait = {"kind": "numeric", "column": "at", "until": "now"}
    rows = pl.DataFrame({"at": TIMES, "now": TIMES[::-1], "y": [1] * len(TIMES)})
    plain = fit(spec(wait=wait), rows.lazy()).encode_features(rows.lazy()).collect()
    as_numbers = rows.with_columns(pl.col("at", "now").dt.epoch(unit))
    encoder = fit(spec(hour={"unit": unit}, wait=wait | {"unit": unit}), as_numbers.lazy())
    for asked in (as_numbers, as_numbers.cast({"at": pl.Float64}), rows.with_columns(pl.col("now").dt.epoch(unit))):
        assert encoder.encode_features(asked.lazy()).collect().equals(plain)


def test_numbers_without_a_unit_are_refused_with_the_fix() -> None:
    found = check_features(spec(), pl.Schema({"at": pl.Int64()}), "the table")
    assert found == [
        "column `at` (feature `hour`) holds Int64; a timestamp is a date, a datetime or its ISO text; "
        'a number since 1970 needs its `unit`: "s", "ms", "us" or "ns"'
    ]
    (boolean,) = check_features(spec(hour={"unit": "s"}), pl.Schema({"at": pl.Boolean()}), "the table")
    assert boolean.endswith("ISO text")


@pytest.mark.parametrize("wrong", [{"unit": "min"}, {"unit": 1}])
def test_another_unit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="'s', 'ms', 'us' or 'ns'"):
        spec(hour=wrong)


def test_a_number_that_is_no_time_has_no_unit() -> None:
    with pytest.raises(ValidationError, match="only with `until`"):
        spec(price={"kind": "numeric", "unit": "s"})


def test_a_spec_without_units_is_written_as_it_was_before_there_were_any() -> None:
    assert "unit" not in spec(wait={"kind": "numeric", "column": "at", "until": "now"}).model_dump_json()
    declared = spec(hour={"unit": "ms"})
    assert FeatureSpec.model_validate_json(declared.model_dump_json()) == declared
