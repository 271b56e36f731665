"""Reads raw rows from a request's JSON, within limits of its size: MLflow's formats, and one user's candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from features.errors import InputError
from pipeline.serving.columns import RequestRows, short

# Models that were registered when columns had no file of their own import this one from here.
from pipeline.serving.columns import frame_of as frame_of
from pipeline.serving.json_text import read_json

_BYTES, _ROWS = "GRADOPS_MAX_REQUEST_BYTES", "GRADOPS_MAX_REQUEST_ROWS"
FORMATS = ("dataframe_split", "dataframe_records", "inputs", "instances")
SHARED, ROWS = "shared", "rows"


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


@dataclass(frozen=True)
class Request:
    """A request as it was read.

    Args:
        rows: Its rows.
        by_column: Whether it is answered by column: candidates are; MLflow's formats are answered by row.
    """

    rows: RequestRows
    by_column: bool = False


def read_request(body: bytes, columns: Sequence[str], limits: Limits) -> Request:
    """Read a request; columns that are not wanted are ignored.

    Args:
        body: JSON in one of MLflow's formats, or an object of ``shared`` (column to the one value of all rows) and
            ``rows`` (column to the list of the rows' values; a list of one value holds for all rows).
        columns: The wanted columns.
        limits: Limits of the request.

    Raises:
        InputError: If the body is too large or of another form.
    """
    if len(body) > limits.size:
        raise InputError(too_large(len(body), limits))
    content = _content(body)
    names = [name for name in FORMATS if name in content]
    if {SHARED, ROWS} <= content.keys() and names:
        raise InputError(f"`{SHARED}` and `{ROWS}` stand alone; found beside them {', '.join(map(repr, names))}")
    if {SHARED, ROWS} <= content.keys():
        request = Request(_candidates(content[SHARED], content[ROWS], columns), by_column=True)
    elif len(names) == 1:
        request = Request(RequestRows.of(_columns(names[0], content[names[0]], columns)))
    else:
        raise _unknown_form(f"the keys {', '.join(map(repr, content))}")
    if request.rows.rows > limits.rows:
        fix = f"send fewer at a time, score files with `gradops score`, or raise {_ROWS} where the model is served"
        raise InputError(f"the request has {request.rows.rows} rows, more than {limits.rows}; {fix}")
    return request


def too_large(size: int, limits: Limits) -> str:
    """The problem of a body with too many bytes."""
    fix = f"send fewer rows at a time, or raise {_BYTES} where the model is served"
    return f"the request has {size} bytes, more than {limits.size}; {fix}"


def _content(body: bytes) -> dict[str, Any]:
    try:
        content = read_json(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the request's body is not readable as JSON ({short(error)})") from error
    if not isinstance(content, dict):
        raise _unknown_form(type(content).__name__)
    return content


def _unknown_form(found: str) -> InputError:
    keys = f"exactly one of the keys {', '.join(FORMATS)}, or with the two keys {SHARED} and {ROWS}"
    rule = f"it should be a JSON object with {keys}"
    return InputError(f"the request's body is of no known form: {rule}; found {short(found)}")


def _candidates(shared: Any, rows: Any, columns: Sequence[str]) -> RequestRows:
    """The rows of one user's candidates: columns of one value for all of them, and columns of the candidates' own."""
    if not isinstance(shared, dict) or not isinstance(rows, dict):
        raise InputError(f"`{SHARED}` should be an object of a value a column, `{ROWS}` an object of a list a column")
    if not rows or not all(isinstance(values, list) for values in rows.values()):
        raise InputError(f"`{ROWS}` should hold at least one column, and a list for each, one value a row")
    if both := sorted(shared.keys() & rows.keys()):
        listed = short(", ".join(f"`{name}`" for name in both))
        raise InputError(f"a column should be in `{SHARED}` or in `{ROWS}`; found in both: {listed}")
    lengths = {len(values) for values in rows.values()}
    height = max(lengths)
    if 0 in lengths:
        raise InputError(f"`{ROWS}` should hold at least one row, one value in each of its lists; found an empty list")
    if lengths - {1, height}:
        raise InputError(f"`{ROWS}` should hold lists of one length, or of length 1; found {sorted(lengths)[:10]}")
    found = {c: rows[c] if c in rows else [shared[c]] for c in columns if c in rows or c in shared}
    return RequestRows(found, height)


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
