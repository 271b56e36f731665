"""Reads raw rows from a request's JSON, within limits of its size."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from features.errors import InputError
from pipeline.serving.columns import frame_of as frame_of
from pipeline.serving.columns import short

_BYTES, _ROWS = "GRADOPS_MAX_REQUEST_BYTES", "GRADOPS_MAX_REQUEST_ROWS"
FORMATS = ("dataframe_split", "dataframe_records", "inputs", "instances")


@dataclass(frozen=True)
class Limits:
    """The limits of a request: a larger one is refused before memory is allocated for it.

    Args:
        size: Largest number of bytes of the body.
        rows: Largest number of rows.
    """

    size: int = 16 << 20
    rows: int = 10_000

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Limits:
        """The limits in ``GRADOPS_MAX_REQUEST_BYTES`` and ``GRADOPS_MAX_REQUEST_ROWS``, or their defaults.

        Raises:
            InputError: If one of them is not a positive whole number.
        """
        found = {name: environment.get(name, str(usual)) for name, usual in ((_BYTES, cls.size), (_ROWS, cls.rows))}
        problems = [
            f"`{name}` should be a positive whole number, found `{text}`"
            for name, text in found.items()
            if not text.isdecimal() or not int(text)
        ]
        if problems:
            raise InputError.of("the environment", problems)
        return cls(*map(int, found.values()))


def rows_of(body: bytes, columns: Sequence[str], limits: Limits) -> pl.DataFrame:
    """The rows of a request; columns that are not wanted are ignored.

    Args:
        body: JSON in one of MLflow's formats.
        columns: The wanted columns.
        limits: Limits of the request.

    Raises:
        InputError: If the body is too large or of another form, or a column's values have no common type.
    """
    if len(body) > limits.size:
        fix = f"send fewer rows at a time, or raise {_BYTES} where the model is served"
        raise InputError(f"the request has {len(body)} bytes, more than {limits.size}; {fix}")
    found = _columns(*_content(body), columns)
    height = max(map(len, found.values()), default=0)
    if height > limits.rows:
        fix = f"send fewer at a time, score files with `gradops score`, or raise {_ROWS} where the model is served"
        raise InputError(f"the request has {height} rows, more than {limits.rows}; {fix}")
    return frame_of(found)


def _content(body: bytes) -> tuple[str, Any]:
    """The name of a body's format, and its content."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the request's body is not readable as JSON ({short(error)})") from error
    names = [name for name in FORMATS if isinstance(content, dict) and name in content]
    if len(names) != 1:
        rule = f"it should be a JSON object with exactly one of the keys {', '.join(FORMATS)}"
        found = f"the keys {', '.join(map(repr, content))}" if isinstance(content, dict) else type(content).__name__
        raise InputError(f"the request's body is of no known form: {rule}; found {short(found)}")
    return names[0], content[names[0]]


def _columns(name: str, content: Any, columns: Sequence[str]) -> dict[str, list[Any]]:
    """The wanted columns that the request has, all of one length."""
    if name == "dataframe_split":
        return _split(content, columns)
    if isinstance(content, list):
        if not all(isinstance(record, dict) for record in content):
            raise InputError(f"`{name}` should hold objects, one a row: column name to value")
        there = [c for c in columns if any(c in record for record in content)]
        return {c: [record.get(c) for record in content] for c in there}
    if not isinstance(content, dict) or name == "dataframe_records":
        raise InputError(f"`{name}` should be a list of objects, one a row; found {type(content).__name__}")
    found = {c: content[c] for c in columns if c in content}
    if not all(isinstance(values, list) for values in found.values()):
        raise InputError(f"`{name}` should hold lists, one a column, or be a list of objects, one a row")
    if len(set(map(len, found.values()))) > 1:
        raise InputError(f"`{name}` should hold lists of one length, found {sorted(set(map(len, found.values())))}")
    return found


def _split(content: Any, columns: Sequence[str]) -> dict[str, list[Any]]:
    known = isinstance(content, dict) and {"columns", "data"} <= content.keys() <= {"columns", "data", "index"}
    if not known or not all(isinstance(content[part], list) for part in ("columns", "data")):
        raise InputError("`dataframe_split` should be an object of two lists, `columns` and `data`")
    names, rows = content["columns"], content["data"]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise InputError("`dataframe_split` should name each of its `columns` once, as text")
    if not all(isinstance(row, list) and len(row) == len(names) for row in rows):
        raise InputError(f"`dataframe_split` should have in `data` a list of {len(names)} values a row, one a column")
    places = {name: place for place, name in enumerate(names)}
    return {c: [row[places[c]] for row in rows] for c in columns if c in places}
