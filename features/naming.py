"""The rule of names: which values of a category are the same.

A value's name is a text, and values with one name are one value, in training rows, files and requests, whatever the
types of their columns. By the newest rule, 2:

- A whole number, as an integer, a float or a decimal, and a text that is a whole number with a zero fraction, have the
  digits of the integer: ``11``, ``11.0`` and ``"11.0"`` are ``"11"``, and ``-0.0`` is ``"0"``. Floats do so up to the
  largest one below which they hold every whole number (2^53 in float64): larger ones were rounded.
- True and false, and the texts ``true`` and ``false``, are ``"1"`` and ``"0"``.
- Bytes, such as UUIDs, are the text of their hexadecimal digits in lower case, and so are texts of UUIDs with hyphens.
- Any other text is itself: ``"007"`` is not 7. Other numbers have their digits, ``"1.5"``. NaN and infinities are null.

Rule 1 is that of encoders that were made before: texts are themselves, true is ``"true"``, and floats are integers of
64 bits. An encoder keeps its rule, so that its ids keep their meaning.
"""

from __future__ import annotations

from typing import Literal

import polars as pl
from polars.datatypes import DataTypeClass

from features.constants import FIRST_KNOWN, NULL, OUT_OF_VOCABULARY, TRUTHS, UUID, ZERO_FRACTION

Naming = Literal[1, 2]
NEWEST: Naming = 2

RawType = pl.DataType | DataTypeClass
_INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32)
_FEW = 100
_TEXTS = (pl.String, pl.Categorical, pl.Enum)


def name(value: pl.Expr, dtype: RawType, naming: Naming = NEWEST) -> pl.Expr:
    """The name of each value.

    Args:
        value: The values of a column or the entries of a list.
        dtype: Their type.
        naming: The rule.
    """
    if dtype.is_float():
        return _name_of_float(value, largest_whole(dtype) if naming > 1 else float("inf"))
    if dtype.is_decimal():
        # 11.50 is "11.5", as of a float; a decimal without a fraction has no point.
        text = value.cast(pl.String)
        has_point = text.str.contains(".", literal=True)
        return pl.when(has_point).then(text.str.strip_chars_end("0").str.strip_chars_end(".")).otherwise(text)
    if dtype == pl.Binary:
        return value.bin.encode("hex")
    if naming > 1 and dtype == pl.Boolean:
        return value.cast(pl.Int8).cast(pl.String)
    if naming > 1 and dtype in _TEXTS:
        return value.cast(pl.String).map_batches(_plain, return_dtype=pl.String, is_elementwise=True)
    return value.cast(pl.String)


def largest_whole(dtype: RawType) -> float:
    """The largest whole number up to which floats of a type hold every whole number."""
    digits = 24 if dtype == pl.Float32 else 11 if dtype == pl.Float16 else 53
    return 2.0**digits


def is_whole(value: pl.Expr, dtype: RawType) -> pl.Expr:
    """Whether a float or decimal names a whole number; null where it is null, NaN or infinite."""
    number = value.cast(pl.Float64) if dtype.is_float() else value
    whole = number == number.floor()
    if not dtype.is_float():
        return whole
    return pl.when(number.is_finite()).then(whole & (number.abs() <= largest_whole(dtype)))


def known_id(value: pl.Expr, dtype: RawType, vocabulary: pl.Series, naming: Naming) -> pl.Expr:
    """Id of each value: ``FIRST_KNOWN`` + the place of its name in the vocabulary."""
    ids = pl.int_range(FIRST_KNOWN, FIRST_KNOWN + len(vocabulary), dtype=pl.Int32, eager=True)
    if dtype in _INTEGERS or (naming > 1 and dtype == pl.Boolean):
        # Looking up integers is several times faster than looking up their names.
        key, numbers = value.cast(pl.Int64), vocabulary.cast(pl.Int64, strict=False)
        is_number = (numbers.cast(pl.String) == vocabulary).fill_null(value=False)  # "007" names no integer
        vocabulary, ids = numbers.filter(is_number), ids.filter(is_number)
    else:
        key = name(value, dtype, naming)
    found = key.replace_strict(vocabulary, ids, default=OUT_OF_VOCABULARY, return_dtype=pl.Int32)
    # Names are made once: only of a float may one be null where the value is not.
    unknown = key if dtype.is_float() else value
    return pl.when(unknown.is_null()).then(pl.lit(NULL, pl.Int32)).otherwise(found)


def _name_of_float(value: pl.Expr, largest: float) -> pl.Expr:
    known = pl.when(value.is_finite()).then(value)
    number = known.cast(pl.Float64)
    is_named = (number == number.floor()) & (number.abs() <= largest)
    digits = number.cast(pl.Int64, strict=False).cast(pl.String)
    # Others have a text that no whole number has, such as 1.5 or 1e+20.
    return pl.when(is_named).then(digits).otherwise(known.cast(pl.String))


def _may_have_another_name(text: str | None) -> bool:
    return text is not None and (text.endswith("0") or text in TRUTHS or len(text) == 36)


def _plain(texts: pl.Series) -> pl.Series:
    # The texts of a request are looked at faster than Polars begins to.
    if len(texts) <= _FEW and not any(map(_may_have_another_name, texts)):
        return texts
    # A regular expression takes as long as a look-up; hardly a column has such texts.
    if texts.filter(texts.str.ends_with("0")).str.contains(ZERO_FRACTION).any():
        texts = texts.str.replace(ZERO_FRACTION, "$1$2")
    if ((texts == "true") | (texts == "false")).any():
        texts = texts.replace(TRUTHS)
    if (texts.str.len_bytes() == 36).any():
        is_uuid = texts.str.contains(UUID).fill_null(value=False)
        texts = texts.str.replace_all("-", "", literal=True).str.to_lowercase().zip_with(is_uuid, texts)
    return texts


def broken_key(dtype: RawType) -> str | None:
    """The rule of columns that name rows or groups of rows, such as a split's key, if their type breaks it."""
    if dtype.is_nested() or dtype in (pl.Duration, pl.Object):
        return (
            "it should be one value a row, of text, numbers, booleans, times or bytes: cast it, or name another column"
        )
    return None


def key_text(key: pl.Expr) -> pl.Expr:
    """The text of such a column's values, which tells them apart: of bytes, their hexadecimal digits."""
    return key.map_batches(_text_of_key, return_dtype=pl.String, is_elementwise=True)


def _text_of_key(keys: pl.Series) -> pl.Series:
    return keys.bin.encode("hex") if keys.dtype == pl.Binary else keys.cast(pl.String)
