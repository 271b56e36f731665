"""JSON of requests and answers: orjson's speed with the meaning of Python's own reader."""

from __future__ import annotations

import json
from typing import Any

import orjson

# Digits become zeros, all other bytes spaces: a search for a run of zeros then finds a long number.
_DIGITS = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else ord(" ") for byte in range(256))
_LONG = b"0" * 19  # the least whole number beyond 64 bits with a sign has as many


def read_json(body: bytes) -> Any:
    """The value of a text in JSON, as :func:`json.loads` reads it.

    orjson reads a whole number beyond 64 bits as a float, which would make an id another id, and refuses NaN and halves
    of surrogates. What may hold such a number, and what orjson refuses, Python reads.

    Raises:
        ValueError, RecursionError: If it is no JSON.
    """
    if _LONG not in body.translate(_DIGITS):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    return json.loads(body)


def written_json(value: Any) -> str:
    """A value without NaN and infinities as a text in JSON; floats by their shortest digits, as Python writes them."""
    return orjson.dumps(value).decode()
