"""The raw table against its declaration: every problem of every column in one error."""

from __future__ import annotations

import json

import polars as pl

from features.errors import InputError
from features.naming import broken_key
from features.nearest import missing_column
from features.spec import FeatureSpec
from features.tasks.binary import Task
from features.tasks.expressions import numbers_as_text

# Models that were registered when errors had no file of their own import this one from here.
__all__ = ["InputError", "check_features", "check_label", "check_table", "fits"]


def check_features(spec: FeatureSpec, schema: pl.Schema, subject: str) -> list[str]:
    """Problems of the feature columns: missing, or of a type that the feature cannot take.

    Args:
        spec: The declaration.
        schema: Schema of the rows.
        subject: The name of the rows in the problems.
    """
    problems = []
    for name in spec.features:
        for place, column in enumerate(spec.columns(name)):
            if column not in schema:
                fix = "give it, null where a value is unknown"
                taken = {one for feature in spec.features for one in spec.columns(feature)}
                problems.append(missing_column(column, f"feature `{name}`", subject, schema, fix, taken))
            elif rule := _broken_rule(spec, name, place, schema[column]):
                problems.append(f"column `{column}` (feature `{name}`) holds {schema[column]}; {rule}")
    return problems


def fits(spec: FeatureSpec, name: str, schema: pl.Schema) -> bool:
    """Whether a table has the columns of a feature, each of a type that the feature can take."""
    columns = enumerate(spec.columns(name))
    return all(c in schema and not _broken_rule(spec, name, place, schema[c]) for place, c in columns)


def _broken_rule(spec: FeatureSpec, name: str, place: int, dtype: pl.DataType) -> str | None:
    """The rule that the type of a feature's column breaks."""
    # A request whose value is missing brings a column without a type.
    return None if dtype == pl.Null else spec.features[name].broken_rule(place, dtype)


def check_table(spec: FeatureSpec, schema: pl.Schema, subject: str) -> list[str]:
    """Problems of a raw table's schema: columns missing or of a wrong type, labels that are not true, false or null.

    Args:
        spec: The declaration.
        schema: Schema of the raw table.
        subject: The table's name in the problems.
    """
    problems = check_features(spec, schema, subject)
    problems += [p for name, task in spec.tasks.items() for p in check_label(name, task, schema, subject)]
    return problems + _weight_problems(spec, schema, subject) + _group_problems(spec.group, schema, subject)


def _weight_problems(spec: FeatureSpec, schema: pl.Schema, subject: str) -> list[str]:
    problems = []
    for name, column in spec.sample_weights.items():
        if column not in schema:
            problems.append(missing_column(column, f"sample weight of task `{name}`", subject, schema))
        elif not schema[column].is_numeric():
            rule = "a sample weight is any number type: cast it"
            problems.append(f"column `{column}` (sample weight of task `{name}`) holds {schema[column]}; {rule}")
    return problems


def _group_problems(column: str | None, schema: pl.Schema, subject: str) -> list[str]:
    if column is None:
        return []
    if column not in schema:
        return [missing_column(column, "the group of GAUC", subject, schema)]
    rule = broken_key(schema[column])
    return [f"column `{column}` (the group of GAUC) holds {schema[column]}; {rule}"] if rule else []


def check_label(name: str, task: Task, schema: pl.Schema, subject: str) -> list[str]:
    """Problems of a task on a raw table: missing columns, or an expression that gives no label."""
    if missing := [c for c in task.sources if c not in schema]:
        return [missing_column(column, f"task `{name}`", subject, schema) for column in missing]
    rule = "a label is true, false or null; write a comparison"
    # Of its own columns alone: Polars cannot hold a value of every type that a file may have beside them.
    read = pl.Schema({column: schema[column] for column in task.sources})
    dtype = _label_type(task, read)
    if isinstance(dtype, str):
        return [f"task `{name}` cannot be computed ({dtype}); {_text_hint(task, read) or rule}"]
    return [] if dtype == pl.Boolean else [f"task `{name}` gives {dtype}; {rule}"]


def _label_type(task: Task, schema: pl.Schema) -> pl.DataType | str:
    """The type of a task's label on rows of a schema, or why it cannot be computed."""
    try:
        return schema.to_frame().select(label=task.expression).schema["label"]
    except pl.exceptions.PolarsError as error:
        return str(error).splitlines()[0]


def _text_hint(task: Task, schema: pl.Schema) -> str:
    """The text columns that a task compares with numbers, and the right way; empty if that is not the reason."""
    texts = [f"`{c}`" for c, dtype in schema.items() if dtype in (pl.String, pl.Categorical, pl.Enum)]
    written = {key: text for key in ("positive", "where") if (text := getattr(task, key)) is not None}
    quoted = {key: numbers_as_text(text) for key, text in written.items()}
    if not texts or _label_type(task.model_copy(update=quoted), schema) != pl.Boolean:
        return ""
    changed = [f"`{key} = {json.dumps(text)}`" for key, text in quoted.items() if text != written[key]]
    return f"{' and '.join(texts)} {'is' if len(texts) == 1 else 'are'} text: write {' and '.join(changed)}"
