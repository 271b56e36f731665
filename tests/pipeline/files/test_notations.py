"""Notations of numbers and times are told from each other, and from texts that are neither."""

from __future__ import annotations

import polars as pl
import pytest

from pipeline.files.notations import number_notation, time_notations

COMMA, THOUSANDS, SIGN = "a decimal comma", "separators of thousands", "a currency or percent sign"


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["3,22", "4"], COMMA),
        (["1,234", "5,22"], COMMA),
        (["1,234", "1234"], COMMA),
        (["1,234", "567"], THOUSANDS),
        (["1,234.56", "7.5"], THOUSANDS),
        (["1.234,56", "7,5"], THOUSANDS),
        (["1\u00a0234,5", "22"], THOUSANDS),
        (["€3.22", "12 €"], SIGN),
        (["12.5%", "3%"], SIGN),
        (["12.5", "3"], None),
        (["12.5", "NA"], None),
        (["1.2.3", "2"], None),
        (["10.0.0.1"], None),
        (["3,7", "1,2,3"], None),
        (["a"], None),
        ([], None),
    ],
)
def test_numbers(texts: list[str], words: str | None) -> None:
    found = number_notation(pl.Series(texts, dtype=pl.String))
    assert (found and found.words) == words


@pytest.mark.parametrize(
    ("texts", "notations"),
    [
        (["29.11.2026 14:05", "1.2.2026 1:05"], ["%d.%m.%Y %H:%M"]),
        (["05/11/2026", "06/11/2026"], ["%d/%m/%Y", "%m/%d/%Y"]),
        (["05/11/2026", "25/11/2026"], ["%d/%m/%Y"]),
        (["11/29/2026 02:05:00 PM"], ["%m/%d/%Y %I:%M:%S %p"]),
        (["29/Nov/2026:14:05:00 +0300"], ["%d/%b/%Y:%H:%M:%S %z"]),
        (["20261129"], ["%Y%m%d"]),
        (["20261129140500"], ["%Y%m%d%H%M%S"]),
        (["29.11.26 5:03"], ["%d.%m.%y %H:%M"]),
        (["1.2.26"], []),
        (["2026112"], []),
        (["20261129", "2026112"], []),
        (["99999999"], []),
        (["2026-11-29 14:05"], []),
        (["Paris"], []),
        ([], []),
    ],
)
def test_times(texts: list[str], notations: list[str]) -> None:
    assert time_notations(pl.Series(texts, dtype=pl.String)) == notations
