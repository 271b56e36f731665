"""The rules for values of raw rows, and one pass over the columns that rules are about."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from features import transforms
from features.contract import check_label, fits
from features.naming import is_whole
from features.spec import FeatureSpec
from features.tasks.binary import Task
from features.transforms import Unit, finite, is_unlikely_time
from pipeline.config.run import RunConfig
from pipeline.config.split import SplitConfig
from pipeline.files import parquet
from pipeline.runtime.executor import LOCAL_EXECUTOR, Executor

# Whether a row breaks a rule, and the number that breaks it; null where a null breaks it.
Breach = tuple[pl.Expr, pl.Expr]
_NO_NUMBER = pl.lit(None, pl.Float64)


@dataclass(frozen=True)
class Rule:
    """A promise about values.

    Args:
        subject: The label, feature or column that the rule is about, as messages name it.
        promise: The rule, and the fix if it is broken.
        breach: The rows that break the rule, over the columns of a file whose NaNs are nulls; None where columns are
            missing or of a type that cannot be judged, which another check reports.
        tolerated: Share of the rows with a number, of all files together, that may break the rule.
        finding: What rows are that break it, where no number tells it.
    """

    subject: str
    promise: str
    breach: Callable[[pl.Schema], Breach | None]
    tolerated: float = 0.0
    finding: str = "is null"


def rules(config: RunConfig) -> list[Rule]:
    """Every rule that a config makes."""
    spec = config.spec
    found = [_flag(n, t, column) for n, t in spec.tasks.items() if (column := _flag_column(t.positive))]
    found += [_range(spec, n, f.bounds) for n, f in spec.features.items() if f.bounds]
    found += [_required(name, c) for name, f in spec.features.items() if f.required for c in spec.columns(name)]
    found += [_entry_weights(spec, name) for name, f in spec.features.items() if f.has_weights]
    found += [_whole(name, column) for name, f in spec.features.items() for column in f.categories(name)]
    found += [_weight(task, column) for task, column in spec.sample_weights.items()]
    found += [
        likely_times(f"column `{column}` (feature `{name}`)", column, unit)
        for name, feature in spec.features.items()
        for column, unit in feature.times(name).items()
        if unit is not None
    ]
    return found + _dated(config.split)


@dataclass(frozen=True)
class Breaches:
    """The values that break rules, file by file.

    Args:
        rules: All rules, in the order of their problems.
        files: File to its rules, each with the number of rows that break it, the lowest and highest value in them, and
            the number of rows with a number; for a file with damaged pages, the error.
    """

    rules: Sequence[Rule]
    files: Mapping[Path, Mapping[Rule, Mapping[str, Any]] | parquet.DamagedError]

    @property
    def damaged(self) -> list[Path]:
        """The files whose pages cannot be read."""
        return [path for path, found in self.files.items() if isinstance(found, parquet.DamagedError)]

    def problems(self, paths: Collection[Path]) -> Iterator[str]:
        """The problems of some of the files: damaged files first, then one problem a rule."""
        of_rules: dict[Rule, list[tuple[Path, Mapping[str, Any]]]] = {rule: [] for rule in self.rules}
        for path, found in self.files.items():
            if path not in paths:
                continue
            if isinstance(found, parquet.DamagedError):
                yield str(found)
                continue
            for rule, counts in found.items():
                of_rules[rule].append((path, counts))
        yield from (_described(rule, found) for rule, found in of_rules.items() if _is_broken(rule, found))


def find_breaches(
    files: Mapping[Path, pl.Schema], rules: Sequence[Rule], executor: Executor = LOCAL_EXECUTOR
) -> Breaches:
    """Read the columns that rules are about, a file at a time.

    Args:
        files: The columns of each file, in the types that they are read as.
        rules: The rules.
        executor: Executor that reads.
    """
    judged = {path: {rule: breach for rule in rules if (breach := rule.breach(s))} for path, s in files.items()}
    items = [(path, files[path], list(found.values())) for path, found in judged.items()]
    found: dict[Path, dict[Rule, dict[str, Any]] | parquet.DamagedError] = {}
    for (path, _, _), counted in zip(items, executor.map(_counted, items), strict=True):
        if isinstance(counted, parquet.DamagedError):
            found[path] = counted
        else:
            found[path] = dict(zip(judged[path], counted, strict=True))
    return Breaches(rules, found)


def _counted(item: tuple[Path, pl.Schema, list[Breach]]) -> list[dict[str, Any]] | parquet.DamagedError:
    """For each rule the number of a file's rows that break it, lowest and highest number in them, and its numbers."""
    path, schema, breaches = item
    counts = [
        pl.struct(
            rows=broken.sum(),
            low=pl.when(broken).then(number).min(),
            high=pl.when(broken).then(number).max(),
            numbers=number.count(),
        ).alias(str(place))
        for place, (broken, number) in enumerate(breaches)
    ]
    if not counts:
        return []
    try:
        rows = parquet.scan_as(path, schema).with_columns(cs.float().fill_nan(None))
        return list(parquet.collect(path, rows.select(counts)).row(0))
    except parquet.DamagedError as error:  # the other files are read all the same
        return error


def _is_broken(rule: Rule, found: Sequence[tuple[Path, Mapping[str, Any]]]) -> bool:
    rows, numbers = (sum(int(counts[name]) for _, counts in found) for name in ("rows", "numbers"))
    return rows > rule.tolerated * numbers


def _described(rule: Rule, judged: Sequence[tuple[Path, Mapping[str, Any]]]) -> str:
    found = [(path, counts) for path, counts in judged if counts["rows"]]
    rows = sum(counts["rows"] for _, counts in found)
    path, example = found[0]
    numbers = dict.fromkeys(f"{n:.15g}" for n in (example["low"], example["high"]) if n is not None)
    holds = f"holds {' and '.join(numbers)}" if numbers else rule.finding
    where = f"{rows} row{'s' * (rows > 1)} of {len(found)} file{'s' * (len(found) > 1)} (first in {path})"
    return f"{rule.subject} {holds} in {where}; {rule.promise}"


def _flag_column(positive: str) -> str | None:
    """The raw column that a label's whole expression compares with 1; None for any other expression."""
    expression = pl.sql_expr(positive)
    columns = expression.meta.root_names()
    if len(columns) != 1:
        return None
    quoted = '"' + columns[0].replace('"', '""') + '"'
    forms = [f"{side} = {other}" for one in ("1", "1.0") for side, other in ((quoted, one), (one, quoted))]
    return columns[0] if any(expression.meta == pl.sql_expr(form).meta for form in forms) else None


def _flag(name: str, task: Task, column: str) -> Rule:
    def breach(schema: pl.Schema) -> Breach | None:
        if check_label(name, task, schema, "") or not schema[column].is_numeric():
            return None
        label = pl.col(column).cast(pl.Float64)
        # Rows outside the task's `where` are not judged.
        number = label if task.where is None else pl.when(pl.sql_expr(task.where)).then(label)
        return ~number.is_in([0.0, 1.0]), number

    promise = (
        f"a label read by `{task.positive}` is 0, 1 or null; write another expression if other values mean something"
    )
    return Rule(f"label `{column}` (task `{name}`)", promise, breach)


def _range(spec: FeatureSpec, name: str, ends: tuple[float, float]) -> Rule:
    def breach(schema: pl.Schema) -> Breach | None:
        if not fits(spec, name, schema):
            return None
        number = spec.features[name].measured(name, schema)
        return (number < ends[0]) | (number > ends[1]), number

    promise = f"its `range` is {ends[0]:g} to {ends[1]:g}; mend the rows or widen the range"
    return Rule(f"feature `{name}`", promise, breach)


def _whole(name: str, column: str) -> Rule:
    def breach(schema: pl.Schema) -> Breach | None:
        held = schema.get(column, pl.Null())
        dtype = held.inner if isinstance(held, pl.List | pl.Array) else held
        if not dtype.is_float() and (not isinstance(dtype, pl.Decimal) or not dtype.scale):
            return None
        value = pl.col(column)
        if dtype is held:
            return ~is_whole(value, dtype), value.cast(pl.Float64)
        entry = pl.element()
        others = value.cast(pl.List(dtype)).list.eval(entry.filter(~is_whole(entry, dtype)).cast(pl.Float64))
        return others.list.len() > 0, others.list.first()

    promise = (
        "where a column holds floats, a category is a whole number, of at most 2^53 in float64: cast it to a nullable "
        "integer, or declare the feature numeric"
    )
    return Rule(f"column `{column}` (feature `{name}`)", promise, breach)


def _required(name: str, column: str) -> Rule:
    def breach(schema: pl.Schema) -> Breach | None:
        if column not in schema:
            return None
        value = finite(pl.col(column)) if schema[column].is_float() else pl.col(column)
        return value.is_null(), _NO_NUMBER

    promise = "it is `required`; mend the rows, or leave `required` out"
    return Rule(f"column `{column}` (feature `{name}`)", promise, breach)


def _weight(task: str, column: str) -> Rule:
    def breach(schema: pl.Schema) -> Breach | None:
        if column not in schema or not schema[column].is_numeric():
            return None
        number = pl.col(column).cast(pl.Float64)
        held = number.cast(pl.Float32)  # training's type, in which larger numbers are infinite
        return ~(held.is_finite() & (held >= 0)).fill_null(value=False), number

    promise = "a weight is a number from 0 up; mend the rows, or give those that are not to count a weight of 0"
    return Rule(f"column `{column}` (sample weight of task `{task}`)", promise, breach)


def _entry_weights(spec: FeatureSpec, name: str) -> Rule:
    listed, weights = spec.columns(name)

    def breach(schema: pl.Schema) -> Breach | None:
        if not fits(spec, name, schema) or pl.Null in (schema[listed], schema[weights]):
            return None
        entries, given = (transforms.length(c, schema[c]) for c in (listed, weights))
        # A list without entries needs no weights, and the entries of a row without weights count for nothing.
        return ((entries > 0) & (entries != given)).fill_null(value=False), _NO_NUMBER

    promise = f"give each entry of `{listed}` one number, or the row null"
    return Rule(f"column `{weights}` (weights of feature `{name}`)", promise, breach, finding="has the wrong length")


def likely_times(subject: str, column: str, unit: Unit) -> Rule:
    """The rule that most numbers since 1970 are likely times, so that a unit wrong by a thousand is found.

    Args:
        subject: The column, as messages name it.
        column: Its name.
        unit: Its declared unit.
    """

    def breach(schema: pl.Schema) -> Breach | None:
        if column not in schema or not schema[column].is_numeric():
            return None
        number = pl.col(column).cast(pl.Float64)
        return is_unlikely_time(number, unit), number

    promise = (
        f'as times in `unit = "{unit}"` most numbers are not of the years 1900 to 2199, or are of the first days of '
        "1970; declare the unit that they are in"
    )
    return Rule(subject, promise, breach, tolerated=0.5)


def _dated(split: SplitConfig) -> list[Rule]:
    column = split.time
    if column is None:
        return []

    def breach(schema: pl.Schema) -> Breach | None:
        has_times = not list(split.problems(schema, ""))
        return (split.instant(schema[column]).is_null(), _NO_NUMBER) if has_times else None

    rules = [Rule(f"`{column}` decides the split and", "drop or mend them", breach)]
    return rules + ([likely_times(f"`{column}` (`[split] time`)", column, split.unit)] if split.unit else [])
