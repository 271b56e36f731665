"""Notations of numbers and times beside plain numbers and ISO times: ``3,22``, ``€ 3.22``, ``29.11.2026 14:05``.

Each is recognised only to be named: a decimal comma may separate a list of two, and 05/11 may be in May.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import polars as pl

_DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d %b %Y", "%b %d, %Y")
_SHORT = (  # with a clock alone: versions are written 1.2.26, too
    "%d.%m.%y",
    "%d/%m/%y",
    "%m/%d/%y",
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
_OTHERS = ("%d/%b/%Y:%H:%M:%S %z", "%a %b %d %H:%M:%S %Y")  # of web servers and of C
# Digits alone are read by their number: `%Y%m%d` would take 2026112, too.
_DIGITS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_YEARS = range(1900, 2200)
_FEW = 20

PLAIN = re.compile(r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$")
DECIMAL_COMMA = "a decimal comma"
_SIGN, _BLANK = "(?:[€$£¥₽₹%]|EUR|USD|GBP)", "[ \\x{a0}\\x{202f}]"
_THOUSANDS = rf"(?:[0-9]{{1,3}}(?:[,.']|{_BLANK})[0-9]{{3}}"
_AMOUNT = rf"{_THOUSANDS}(?:(?:[,.']|{_BLANK})[0-9]{{3}})*|[0-9]+)(?:[.,][0-9]+)?"
# Words of a notation, the pattern of its numbers, and one that some number has to have: 1,234 may be a thousand.
_NUMBERS = (
    (DECIMAL_COMMA, r"^[+-]?[0-9]+(?:,[0-9]+)?$", r",(?:[0-9]{1,2}|[0-9]{4,})$|[0-9]{4}"),
    ("separators of thousands", rf"^[+-]?{_AMOUNT}$", rf"[0-9](?:[,.']|{_BLANK})[0-9]{{3}}"),
    ("a currency or percent sign", rf"^[+-]?(?:{_SIGN}{_BLANK}?{_AMOUNT}|{_AMOUNT}{_BLANK}?{_SIGN})$", _SIGN),
)


def moments(texts: pl.Series, notation: str) -> pl.Series:
    """Texts as times; null where one is of another notation, or not of the years 1900 to 2199.

    Args:
        texts: The texts.
        notation: A format of ``strptime``. With an offset in it (``%z``) times become UTC.
    """
    zone = "UTC" if "%z" in notation else None
    read = texts.str.strip_chars().str.to_datetime(notation, strict=False, time_unit="us", time_zone=zone)
    read = read.dt.replace_time_zone(None)
    is_likely = read.dt.year().is_between(_YEARS[0], _YEARS[-1])
    return pl.select(pl.when(is_likely).then(read)).to_series().alias(texts.name)


def time_notations(texts: pl.Series) -> list[str]:
    """The notations that read every text: several where 05/11 may be in May or in November; none of an ISO time.

    Args:
        texts: Some values of a column, without null.
    """
    lengths = set(texts.str.len_chars().to_list()) if texts.str.contains(r"^[0-9]+$").all() else set()
    able = [form for length, form in _DIGITS.items() if lengths == {length}]
    if not lengths:
        able = [*(day + clock for day in _DATES for clock in _CLOCKS), *_OTHERS]
        able += [day + clock for day in _SHORT for clock in _CLOCKS[1:]]
    for some in (texts.head(_FEW), texts):
        able = [form for form in able if len(some) and moments(some, form).null_count() == 0]
    return able


class NumberNotation(NamedTuple):
    """A notation of numbers in words, and a number that has it."""

    words: str
    example: str


def number_notation(texts: pl.Series) -> NumberNotation | None:
    """The notation of numbers that are no plain ones; None if the texts are plain, or no numbers.

    Args:
        texts: Some values of a column, without null.
    """
    texts = texts.str.strip_chars()
    if not len(texts) or texts.str.contains(PLAIN.pattern).all():
        return None
    for words, pattern, sign in _NUMBERS:
        have = texts.filter(texts.str.contains(sign))
        if len(have) and texts.str.contains(pattern).all():
            return NumberNotation(words, have[0])
    return None
