"""Numbers and patterns that the expressions of :mod:`features.transforms` and the forms of requests have in common."""

from __future__ import annotations

from typing import Literal

# Ids of every table: padding, null, out of vocabulary, and the first known value.
PADDING, NULL, OUT_OF_VOCABULARY, FIRST_KNOWN = 0, 1, 2, 3

# Number of values of each part of a timestamp, and the first value.
PARTS = {"hour": (24, 0), "weekday": (7, 1), "month": (12, 1)}
# Units of times that are numbers since 1970 (UTC): how many a second has.
Unit = Literal["s", "ms", "us", "ns"]
A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# 1900 and 2200, in seconds since 1970: a number outside is no time.
CENTURIES = (-2_208_988_800, 7_258_118_400)

# Hashes are taken modulo the first before they are crossed. The second is Knuth's: 2^32 over the golden ratio.
PRIME, MULTIPLIER = 2**31 - 1, 2_654_435_761

# Standardised values end here.
FARTHEST = 1e6

# Texts with another name than themselves, besides true and false: whole numbers with a zero fraction, and UUIDs.
ZERO_FRACTION = r"^(?:-(0)|(-?(?:0|[1-9][0-9]*)))\.0+$"
UUID = f"^{'-'.join(f'[0-9a-fA-F]{{{digits}}}' for digits in (8, 4, 4, 4, 12))}$"
TRUTHS = {"true": "1", "false": "0"}
