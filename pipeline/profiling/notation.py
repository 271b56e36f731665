"""Columns of times or numbers in a notation that nothing reads: left out, with the way to mend it.

Read as categories they would be features of another meaning, and nobody would be told.
"""

from __future__ import annotations

import shlex

import polars as pl

from pipeline.files.notations import DECIMAL_COMMA, PLAIN, number_notation, time_notations
from pipeline.profiling.choice import Excluded
from pipeline.profiling.column import Column, share
from pipeline.profiling.column_names import is_time
from pipeline.profiling.log import Log

_FEW_TEXTS = 50  # distinct ones; few numbers may be sizes or grades
_FRACTION = r"^[+-]?[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?$"
_MOST = 0.5
_MARKS = 3  # texts that mean a missing value
_SOME = 2000


def unread(column: Column, log: Log) -> Excluded | None:
    """The reason why a column tells nothing as it is written; None if it is read as it is meant."""
    if why := _as_times(column, log) or _as_numbers(column, log):
        return Excluded(column.name, why, look=True)
    return None


def has_written_times(column: Column) -> bool:
    """Whether digits or texts are times in a notation such as 20260131 or 31.01.2026."""
    return bool(_notations(column))


def times_fix(column: Column, log: Log) -> str:
    """The way to make times of a column's texts or digits, the first of them shown."""
    ways = [f"`{_command(log, _type(column, form))}`" for form in _notations(column) or ["time"]]
    return f"as '{column.known[0]}': {' or '.join(ways)} makes times"


def _as_times(column: Column, log: Log) -> str | None:
    return f"times in a notation that is not read, {times_fix(column, log)}" if has_written_times(column) else None


def _notations(column: Column) -> list[str]:
    if column.kind == pl.String:
        texts = _some(column)
        return [] if texts.str.contains(r"^[0-9]+$").any() and not is_time(column.name) else time_notations(texts)
    if column.kind.is_numeric() and is_time(column.name) and column.is_whole and len(column.known):
        return time_notations(_some(column).cast(pl.Int64).cast(pl.String))
    return []


def _as_numbers(column: Column, log: Log) -> str | None:
    if column.kind != pl.String or column.distinct <= _FEW_TEXTS:
        return None
    texts = _some(column)
    if (notation := number_notation(texts)) is not None:
        fix = _number_fix(column, log, "comma") if notation.words == DECIMAL_COMMA else "write them as plain numbers"
        return f"numbers as text with {notation.words}, as {notation.example!r}; {fix}"
    if share(texts.str.contains(_FRACTION)) < _MOST:
        return None
    others = texts.filter(~texts.str.contains(PLAIN.pattern))
    if not len(others):
        return f"numbers as text, as {texts[0]!r}; {_number_fix(column, log, 'number')}"
    fix = "write numbers alone"
    if len(others) <= _MARKS:
        marks = "".join(f" --null {shlex.quote(mark)}" for mark in others)
        fix = f"if that means missing: `{_command(log, _type(column, 'number') + marks)}`"
    return f"numbers as text but for {len(others)} of {len(texts)} values, as {others[0]!r}; {fix}"


def _number_fix(column: Column, log: Log, kind: str) -> str:
    return f"make it a number: `{_command(log, _type(column, kind))}`"


def _type(column: Column, kind: str) -> str:
    return f"--type {shlex.quote(f'{column.name}={kind}')}"


def _command(log: Log, options: str) -> str:
    return f"gradops import {shlex.quote(log.source)} FOLDER {options}"


def _some(column: Column) -> pl.Series:
    return column.known.unique(maintain_order=True).head(_SOME)
