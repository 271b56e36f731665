"""The raw table against its declaration: every problem of every column in one error."""

from __future__ import annotations

import polars as pl
from polars.datatypes import DataTypeClass

from features.errors import InputError
from features.kinds import Categorical, Cross, Feature, MultiHot, Time
from features.spec import FeatureSpec, Task

# Models that were registered when errors had no file of their own import this one from here.
__all__ = ["InputError", "check_features", "check_label", "check_table", "fits"]


def check_features(spec: FeatureSpec, schema: pl.Schema, subject: str) -> list[str]:
    """Problems of the feature columns: missing, or of a type that the feature cannot take."""
    problems = []
    for name in spec.features:
        for place, column in enumerate(spec.columns(name)):
            if column not in schema:
                fix = "give it, null where a value is unknown"
                problems.append(f"column `{column}` (feature `{name}`) is missing from {subject}; {fix}")
            elif rule := _broken_rule(spec.features[name], place, schema[column]):
                problems.append(f"column `{column}` (feature `{name}`) holds {schema[column]}; {rule}")
    return problems


def fits(spec: FeatureSpec, name: str, schema: pl.Schema) -> bool:
    """Whether a table has the columns of a feature, each of a type that the feature can take."""
    columns, declared = spec.columns(name), spec.features[name]
    return all(c in schema and not _broken_rule(declared, place, schema[c]) for place, c in enumerate(columns))


def _broken_rule(feature: Feature, place: int, dtype: pl.DataType) -> str | None:
    """The rule that a type breaks, for the first or the second column of a feature."""
    if dtype == pl.Null:  # a request whose value is missing brings a column without a type
        return None
    if isinstance(feature, MultiHot):
        inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
        if place:
            allowed = inner is not None and (inner.is_numeric() or inner == pl.Null)
            rule = "weights are a list of numbers a row"
        else:
            allowed, rule = inner is not None and _is_category(inner), "a multi-hot is a list of text or integers a row"
    elif isinstance(feature, Categorical | Cross):
        # Dates and times have another text in every table format, so a served one would not be the trained one.
        allowed = _is_category(dtype)
        rule = "a categorical is text, boolean or integer: cast it to text, or declare it numeric"
    elif isinstance(feature, Time) or feature.until:
        allowed, rule = dtype in (pl.Date, pl.Datetime, pl.String), "a timestamp is a date, a datetime or its ISO text"
    else:
        allowed, rule = dtype.is_numeric(), "a numeric is any number type: cast it, or declare it categorical"
    return None if allowed else rule


def _is_category(dtype: pl.DataType | DataTypeClass) -> bool:
    return dtype.is_integer() or dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Null)


def check_table(spec: FeatureSpec, schema: pl.Schema, subject: str) -> list[str]:
    """Problems of a raw table's schema: columns missing or of a wrong type, labels that are not true, false or null.

    Args:
        spec: The declaration.
        schema: Schema of the raw table.
        subject: What the table is called in the problems.
    """
    problems = check_features(spec, schema, subject)
    problems += [p for name, task in spec.tasks.items() for p in check_label(name, task, schema, subject)]
    return problems + _weight_problems(spec, schema, subject) + _group_problems(spec.group, schema, subject)


def _weight_problems(spec: FeatureSpec, schema: pl.Schema, subject: str) -> list[str]:
    problems = []
    for name, column in spec.sample_weights.items():
        if column not in schema:
            problems.append(f"column `{column}` (sample weight of task `{name}`) is missing from {subject}")
        elif not schema[column].is_numeric():
            rule = "a sample weight is any number type: cast it"
            problems.append(f"column `{column}` (sample weight of task `{name}`) holds {schema[column]}; {rule}")
    return problems


def _group_problems(column: str | None, schema: pl.Schema, subject: str) -> list[str]:
    if column is None:
        return []
    if column not in schema:
        return [f"column `{column}` (the group of GAUC) is missing from {subject}"]
    rule = "a group is one value a row: give a column of text, numbers, booleans or times"
    is_one = not schema[column].is_nested() and schema[column] not in (pl.Binary, pl.Object)
    return [] if is_one else [f"column `{column}` (the group of GAUC) holds {schema[column]}; {rule}"]


def check_label(name: str, task: Task, schema: pl.Schema, subject: str) -> list[str]:
    """Problems of a task with a raw table: columns missing, or no label of them."""
    if missing := [c for c in task.sources if c not in schema]:
        return [f"column `{c}` (task `{name}`) is missing from {subject}" for c in missing]
    rule = "a label is true, false or null; write a comparison"
    try:
        dtype = schema.to_frame().select(label=task.expression).schema["label"]
    except pl.exceptions.PolarsError as error:
        return [f"task `{name}` cannot be computed ({error}); {rule}"]
    return [] if dtype == pl.Boolean else [f"task `{name}` gives {dtype}; {rule}"]
