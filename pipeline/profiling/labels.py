"""The labels of a draft: columns of two values, counts, or SQL of the user's; counted in every row of the log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl
from pydantic import ValidationError

from features.errors import InputError
from features.nearest import did_you_mean
from features.tasks.binary import Task
from pipeline.files import parquet
from pipeline.profiling.column_names import is_label
from pipeline.profiling.log import Log
from pipeline.profiling.plain_names import plain_name

_YES = ("1", "yes", "y", "true", "t", "positive", "pos", "ja", "oui", "si", "да")
_MOST_SHOWN, _MOST_VALUES = 6, 1000
_NAMED = re.compile(r"\s*([A-Za-z]\w*)\s*=(?!=)\s*(.+)", flags=re.DOTALL | re.ASCII)


@dataclass(frozen=True)
class Label:
    """A task of the draft.

    Args:
        name: Its name.
        positive: SQL that is true for a positive.
        columns: The columns that the SQL reads.
        evidence: What was found, as its comment has it.
        look: Whether the user should look at it: which values are positive was guessed.
    """

    name: str
    positive: str
    columns: tuple[str, ...]
    evidence: str
    look: bool = False

    @property
    def expression(self) -> pl.Expr:
        """The label of a row: true, false or null."""
        return Task(positive=self.positive).expression


def candidates(log: Log) -> list[str]:
    """The columns that can be labels as they are: they have two values, and one or both of them are 0, 1, or a yes."""
    return [name for name in log.sample.columns if _is_candidate(log.sample.get_column(name))]


def guess(names: Iterable[str]) -> list[str]:
    """Those of the candidates whose names are those of labels."""
    return [name for name in names if is_label(name)]


def find_labels(log: Log, wanted: Sequence[str]) -> list[Label]:
    """The labels of a draft.

    Args:
        log: The log.
        wanted: Columns, or texts ``name=SQL``.

    Raises:
        InputError: If one is missing, has no two classes, or does not say which values are positive. All are listed.
    """
    found: list[Label] = []
    problems: list[str] = []
    for text in dict.fromkeys(wanted):
        try:
            found.append(_label(log, text, taken=[label.name for label in found]))
        except InputError as error:
            problems.append(str(error))
    if len(problems) == 1:
        raise InputError(problems[0])
    if problems:
        raise InputError.of("these are no labels", problems)
    return found


def _is_candidate(values: pl.Series) -> bool:
    if values.dtype == pl.Boolean:
        return True
    if not (values.dtype.is_numeric() or values.dtype == pl.String):
        return False
    some = values.drop_nulls().unique().head(3)
    if len(some) != 2:
        return False
    texts = {_plain(value) for value in some.to_list()}
    return texts == {"0", "1"} or bool(texts & set(_YES[1:])) or texts == {"-1", "1"}


def _plain(value: object) -> str:
    """A value's text; of a whole float, its integer's."""
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value).strip().casefold()


def _label(log: Log, text: str, taken: Sequence[str]) -> Label:
    if text not in log.schema and (named := _NAMED.fullmatch(text)):
        name, positive, look, how = named[1], named[2].strip(), False, ""
    else:
        name = plain_name(text, "label", taken)
        positive, how, look = _positive(log, text)
    expression, columns = _read(log, name, positive)
    positives, known = 0, 0
    for path, rows in log.every(columns):
        yes, some = _counted(path, rows.select(label=expression), name, positive)
        positives, known = positives + yes, known + some
    if positives in (0, known):
        found = "no positive" if not positives else "only positives"
        raise InputError(
            f"label `{name}` (`{positive}`) has {found} in {known:,} known rows: there is nothing to learn"
        )
    unknown = f", unknown in {log.rows - known:,}" if known < log.rows else ""
    share = f"{positives:,} positives in {known:,} rows ({positives / known:.2%}){unknown}"
    return Label(name, positive, tuple(columns), "; ".join(filter(None, [share, how])), look)


def _read(log: Log, name: str, positive: str) -> tuple[pl.Expr, list[str]]:
    """The expression of a label and the columns that it reads."""
    try:
        task = Task(positive=positive)
    except ValidationError as error:
        raise InputError(f"label `{name}`: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    if beyond := task.beyond_its_row:
        raise InputError(f"label `{name}`: {beyond[0]}")
    if not task.sources:
        raise InputError(f"label `{name}`: `{positive}` reads no column; write SQL such as `bought = 1`")
    for column in task.sources:
        if column not in log.schema:
            raise InputError(_missing(log, name, column))
    return task.expression, task.sources


def _missing(log: Log, name: str, column: str) -> str:
    if column in log.unreadable:
        return f"label `{name}` reads `{column}`, and {log.unreadable[column]}; write the files with one schema"
    return f"label `{name}`: there is no column `{column}`; {did_you_mean(column, log.schema, 'the columns are')}"


def _counted(path: object, label: pl.LazyFrame, name: str, positive: str) -> tuple[int, int]:
    """The number of positives and of known labels in a file."""
    try:
        if label.collect_schema()["label"] not in (pl.Boolean, pl.Null):
            rule = "is neither true nor false: compare it, as in `bought = 1`"
            raise InputError(f"label `{name}`: `{positive}` {rule}")
        counted = label.select(yes=pl.col("label").cast(pl.Boolean).sum(), known=pl.col("label").count())
        yes, known = counted.collect(engine="streaming").row(0)
    except parquet.READ_ERRORS as error:
        raise InputError(f"label `{name}` (`{positive}`) cannot be computed in {path}: {error}") from None
    return yes or 0, known


def _positive(log: Log, column: str) -> tuple[str, str, bool]:
    """The SQL of a column's positives, the guess that it took in words, and whether the user should look at it."""
    if column not in log.schema:
        raise InputError(_missing(log, column, column))
    quoted, kind = sql_name(column), log.schema[column]
    fix = f'say which are positive: --label "{plain_name(column, "label", ())}={quoted} = ..."'
    if kind == pl.Boolean:
        return quoted, "", False
    if not (kind.is_numeric() or kind in (pl.String, pl.Categorical, pl.Enum)):
        raise InputError(f"label `{column}` holds {kind}, and a label has two classes; {fix}")
    rows_of = _value_counts(log, column)
    values = [value for value in rows_of if value is not None]
    if kind.is_numeric():
        return _positive_number(column, quoted, [float(str(value)) for value in values], fix)
    if len(values) != 2:
        raise InputError(f"label `{column}` has {_listed(values)}; {fix}")
    texts = [str(value) for value in values]
    chosen = next((text for text in texts if text.strip().casefold() in _YES), None)
    how = "" if chosen else "the rarer of two texts was taken as positive"
    chosen = chosen if chosen is not None else min(texts, key=lambda text: rows_of[text])
    literal = "'" + chosen.replace("'", "''") + "'"
    return f"{quoted} = {literal}", how, bool(how)


def _positive_number(column: str, quoted: str, values: Sequence[float], fix: str) -> tuple[str, str, bool]:
    numbers = sorted(values)
    if set(numbers) <= {0, 1}:
        return f"{quoted} = 1", "", False
    if len(numbers) == 2 and all(number == int(number) for number in numbers):
        chosen, other = int(numbers[1]), int(numbers[0])
        return f"{quoted} = {chosen}", f"of {other} and {chosen}, the larger was taken as positive", True
    is_count = numbers and numbers[0] == 0 and all(number == int(number) for number in numbers)
    if is_count:
        return f"{quoted} >= 1", f"a count up to {int(numbers[-1])}, of which 1 and more were taken as positive", True
    raise InputError(f"label `{column}` has {_listed(numbers)}; {fix}")


def _listed(values: Sequence[object]) -> str:
    shown = ", ".join(_shown(value) for value in values[:_MOST_SHOWN])
    number = f"more than {_MOST_VALUES:,}" if len(values) > _MOST_VALUES else f"{len(values):,}"
    return f"{number} value(s), as {shown}" if values else "no value"


def _shown(value: object) -> str:
    """A value as SQL writes it; a whole float as the integer that the column may have held."""
    return str(int(value)) if isinstance(value, float) and value == int(value) else repr(value)


def _value_counts(log: Log, column: str) -> dict[object, int]:
    """The number of rows of each value, of a few more than a thousand at most; NaN is left out."""
    found: dict[object, int] = {}
    for path, rows in log.every([column]):
        counted = parquet.collect(path, rows.group_by(column).agg(rows=pl.len()).sort(column).head(_MOST_VALUES + 2))
        for value, number in counted.iter_rows():
            if value == value:  # NaN alone differs from itself
                found[value] = found.get(value, 0) + number
    return found


def sql_name(column: str) -> str:
    """A column as SQL names it: in quotes, unless it is a plain word that means nothing else."""
    quoted = '"' + column.replace('"', '""') + '"'
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", column):
        return quoted
    try:
        return column if pl.sql_expr(column).meta.root_names() == [column] else quoted
    except pl.exceptions.PolarsError:
        return quoted
