"""Drafts a config from a log's own files: every choice with its evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from features.errors import InputError
from features.naming import broken_key
from features.nearest import did_you_mean
from pipeline.config.run import RunConfig
from pipeline.profiling import column_names as names
from pipeline.profiling import labels as labelling
from pipeline.profiling.categories import category
from pipeline.profiling.choice import Choices, Excluded, Feature
from pipeline.profiling.column import Column, share
from pipeline.profiling.labels import Label
from pipeline.profiling.leaks import find_leaks
from pipeline.profiling.lists import find_weights, multi_hot
from pipeline.profiling.log import Log, missing_days
from pipeline.profiling.numbers import is_category, number
from pipeline.profiling.pairs import Pair, find_pairs
from pipeline.profiling.plain_names import plain_name
from pipeline.profiling.questions import Asker
from pipeline.profiling.shared_tables import with_shared_tables
from pipeline.profiling.splitting import Split, choose_split
from pipeline.profiling.texts import text
from pipeline.profiling.times import Times, find_times, own_times, time_features
from pipeline.profiling.training import Training, choose_training

_ROWS_OF_GROUP = 2


@dataclass(frozen=True)
class Wishes:
    """The choices that the user has made.

    Args:
        name: Name of the experiment; None for that of the data.
        labels: Columns, or ``name=SQL``; empty to be asked.
        time: The time of a row's event; None to be found.
        group: The column that rows are grouped by; None to be found.
        exclude: Columns that may not be features.
        keep: Columns that are known before the row's event, whatever their names say.
    """

    name: str | None = None
    labels: Sequence[str] = ()
    time: str | None = None
    group: str | None = None
    exclude: Sequence[str] = ()
    keep: Sequence[str] = ()


@dataclass(frozen=True)
class Draft:
    """A config with the evidence for its choices.

    Args:
        name: Name of the experiment.
        log: The log.
        labels: The tasks.
        split: The split.
        features: Name to feature.
        excluded: The columns that are no features.
        group: The column of GAUC's groups and the evidence; None without one.
        unique: The column that identifies a row and the evidence; None without one.
        training: The network and the training.
        day_gap: Evidence of days without a file; empty if there are none.
    """

    name: str
    log: Log
    labels: Sequence[Label]
    split: Split
    features: Mapping[str, Feature]
    excluded: Sequence[Excluded]
    group: tuple[str, str] | None
    unique: tuple[str, str] | None
    training: Training
    day_gap: str = ""

    def config(self) -> dict[str, Any]:
        """Its content, as TOML has it."""
        partitions = {"partitions": dict(self.log.partitions)} if self.log.partitions else {}
        contract: dict[str, Any] = {"unique": [self.unique[0]]} if self.unique else {}
        contract |= {"empty_days": True} if self.day_gap else {}
        # The time of the event is no feature of its own, but hours until it may be one.
        read = {column for name in self.features for column in self.columns_of(name)}
        excluded = [one.column for one in self.excluded if one.column not in read]
        spec: dict[str, Any] = {"excluded": list(dict.fromkeys(excluded)), "width": 8}
        spec |= {"group": self.group[0]} if self.group else {}
        spec["tasks"] = {label.name: {"positive": label.positive} for label in self.labels}
        spec["features"] = {name: self.keys_of(name) for name in self.features}
        content: dict[str, Any] = {"name": self.name, "data": {"train": self.log.source, **partitions}}
        content |= {"split": dict(self.split.config)} | ({"contract": contract} if contract else {})
        return content | {"spec": spec, "model": dict(self.training.model), "train": dict(self.training.train)}

    def keys_of(self, name: str) -> dict[str, Any]:
        """The keys of a feature, with its column where that has another name."""
        feature = self.features[name]
        kind = {"kind": feature.keys["kind"]}
        rest = {key: value for key, value in feature.keys.items() if key != "kind"}
        has_column = "columns" not in feature.keys and name != feature.column
        return kind | ({"column": feature.column} if has_column else {}) | rest

    def columns_of(self, name: str) -> list[str]:
        """The columns that a feature reads."""
        feature = self.features[name]
        beside = [feature.keys[key] for key in ("until", "weights") if key in feature.keys]
        return [*feature.keys.get("columns", [feature.column]), *beside]

    @property
    def to_look_at(self) -> list[str]:
        """Sentences on choices that were guessed and may be wrong."""
        found = [f"label {one.name}: {one.evidence}" for one in self.labels if one.look]
        found += [f"{one.column} is left out: {one.reason}" for one in self.excluded if one.look]
        return found + [f"{name}: {one.evidence}" for name, one in self.features.items() if one.look]


def draft(source: str, wishes: Wishes, asker: Asker) -> Draft:
    """Draft a config for a log.

    Args:
        source: Parquet file, folder or glob.
        wishes: The choices that the user has made.
        asker: Answers what the files do not tell.

    Raises:
        InputError: If the files cannot be read, labels are not there or have one class, rows cannot be split, or no
            column can be a feature.
    """
    log = Log.read(source)
    _check_names(log, wishes)
    labels = labelling.find_labels(log, wishes.labels or _asked_labels(log, asker))
    columns = {name: Column(log.sample.get_column(name)) for name in log.sample.columns if _is_flat(log.schema[name])}
    answers = {column for label in labels for column in label.columns}
    times = find_times([column for name, column in columns.items() if name not in answers])
    own = _own_time(log, times, wishes, asker)
    keys = {n: c for n, c in columns.items() if n not in answers and n not in times and broken_key(c.kind) is None}
    split = choose_split(log, keys, labels, own, _without_time(log, times, own))
    free = {name: column for name, column in columns.items() if name not in answers}
    choices = _outcomes(free, wishes, asker) + _unreadable(log)
    choices += _features(log, free, times, own, split, {one.column for one in choices.excluded})
    drafted = _assembled(log, wishes, labels, split, choices, columns)
    return _without_leaks(drafted)


def _asked_labels(log: Log, asker: Asker) -> Sequence[str]:
    found = labelling.candidates(log)
    chosen = asker.labels(found, labelling.guess(found))
    if not chosen:
        listed = (
            f"columns of two values are {', '.join(found)}" if found else "no column has two values such as 0 and 1"
        )
        named = ", ".join(labelling.guess(found))
        guess = f"; `--yes` takes those that are named as labels are: {named}" if named else ""
        raise InputError(
            f"no label is named, and {listed}: give `--label COLUMN` for each action that you want to predict, or "
            f'`--label "NAME=SQL"`, as in `--label "liked=rating >= 4"`{guess}'
        )
    return chosen


def _check_names(log: Log, wishes: Wishes) -> None:
    """Refuse columns that the log does not have."""
    given = [
        ("--time", [wishes.time]),
        ("--group", [wishes.group]),
        ("--exclude", wishes.exclude),
        ("--keep", wishes.keep),
    ]
    problems = [
        f"{option} {column}: there is no such column; {did_you_mean(column, log.schema, 'the columns are')}"
        for option, columns in given
        for column in columns
        if column is not None and column not in log.schema and column not in log.unreadable
    ]
    needed = (("--time", wishes.time), ("--group", wishes.group))
    problems += [f"{option} {c}: {log.unreadable[c]}" for option, c in needed if c is not None and c in log.unreadable]
    if problems:
        raise InputError.of(f"`{log.source}` has other columns", problems)


def _is_flat(kind: pl.DataType) -> bool:
    """Whether values have figures of their own: structs and objects have none."""
    inner = kind.inner if isinstance(kind, pl.List | pl.Array) else kind
    return not isinstance(inner, pl.Struct | pl.List | pl.Array | pl.Object)


def _own_time(log: Log, times: Mapping[str, Times], wishes: Wishes, asker: Asker) -> Times | None:
    """The time of a row's own event."""
    able = own_times(dict(times), log)
    if wishes.time is not None:
        if wishes.time not in able:
            rule = "a date, a datetime or a number since 1970, known in every row and not always the same"
            raise InputError(f"--time {wishes.time}: the time of a row's event is {rule}")
        return times[wishes.time]
    able = [name for name in able if not names.is_outcome(name)]
    if not able:
        return None
    return times[able[0] if len(able) == 1 else asker.time(able, able[0])]


def _without_time(log: Log, times: Mapping[str, Times], own: Times | None) -> str:
    """The reason why rows are not split by time, if it comes to that."""
    if own is not None:
        return f"`{own.column.name}` leaves parts without a class"
    texts = [name for name, one in times.items() if not one.can_split]
    if texts:
        return (
            f"`{texts[0]}` has times as text: `gradops import {log.source} FOLDER --type {texts[0]}=time` makes times"
        )
    return "no column has the time of every row"


def _outcomes(columns: Mapping[str, Column], wishes: Wishes, asker: Asker) -> Choices:
    """The columns that are left out by their names or by the user."""
    excluded = [Excluded(name, "left out by --exclude") for name in columns if name in wishes.exclude]
    for name in columns:
        is_id = columns[name].is_unique and names.names_something(name)
        if is_id or name in (*wishes.keep, *wishes.exclude):
            continue
        if names.is_row_number(name):
            excluded.append(Excluded(name, "named like the number of a row"))
        elif names.is_row_weight(name):
            why = "named like the weight of a row; a task's `sample_weight` may name it"
            excluded.append(Excluded(name, why, look=True))
        elif names.is_outcome(name):
            why = "named like something that came of the row, which nobody knew before"
            if not asker.is_known_before(name, why):
                excluded.append(Excluded(name, f"{why}; if it was known, `--keep {name}`", look=True))
    return Choices((), tuple(excluded))


def _unreadable(log: Log) -> Choices:
    """The columns that no kind of feature can read."""
    excluded = [Excluded(name, reason, look=True) for name, reason in log.unreadable.items()]
    for name, kind in log.schema.items():
        if not _is_flat(kind) or kind in (pl.Duration, pl.Time):
            what = "a struct" if isinstance(kind, pl.Struct) else str(kind)
            excluded.append(Excluded(name, f"{what}, which no kind of feature reads: write its parts into columns"))
    return Choices((), tuple(excluded))


def _features(
    log: Log, columns: Mapping[str, Column], times: Mapping[str, Times], own: Times | None, split: Split, left: set[str]
) -> Choices:
    """A choice for each column that is left."""
    weights = find_weights(columns)
    found = Choices()
    for name, column in columns.items():
        if name in left:
            continue
        if (why := _empty(column, split)) is not None:
            found += Choices((), (Excluded(name, why),))
        elif name in times:
            found += time_features(times[name], own, split.training or times[name].span)
        elif name not in weights.values():
            found += _feature(log, column, split, weights.get(name))
    return found


def _empty(column: Column, split: Split) -> str | None:
    """The reason why a column tells nothing."""
    if not len(column.known):
        return f"no value in {column.rows:,} rows"
    training = Column(column.values.filter(split.part == "train"))
    if not len(training.known):
        return f"no value in {training.rows:,} training rows"
    if column.distinct == 1 and column.values.null_count() == 0 and len(column.known) == column.rows:
        return f"one value in all rows, {str(column.known[0])[:40]}"
    return None


def _feature(log: Log, column: Column, split: Split, weights: str | None) -> Choices:
    kind = column.kind
    if isinstance(kind, pl.List | pl.Array):
        return multi_hot(column, log, weights)
    if kind == pl.String:
        return text(column, log, split)
    if kind.is_decimal():
        return number(column, split)
    if kind.is_numeric() and not is_category(column):
        return number(column, split)
    return category(column, log, split)


def _assembled(
    log: Log, wishes: Wishes, labels: Sequence[Label], split: Split, choices: Choices, columns: Mapping[str, Column]
) -> Draft:
    chosen = with_shared_tables(choices.features, columns)
    if not chosen:
        reasons = "; ".join(f"{one.column}: {one.reason}" for one in choices.excluded) or "it has labels alone"
        raise InputError(f"no column of `{log.source}` can be a feature ({reasons}); add columns that are known before")
    training_rows = round(log.rows * share(split.part == "train"))
    chosen += [_cross(pair) for pair in _pairs(log, labels, split, chosen, columns)]
    gap = missing_days(log.table.files)
    return Draft(
        name=plain_name(wishes.name or _name_of(log.source), "log"),
        log=log,
        labels=labels,
        split=split,
        features=_named(chosen, [label.name for label in labels]),
        excluded=choices.excluded,
        group=_group(log, wishes, columns),
        unique=_unique(log, choices.excluded, columns),
        training=choose_training(training_rows, has_hashes=any(one.keys.get("buckets") for one in choices.features)),
        day_gap=f"{gap} day(s) between the first and the last have no file" if gap else "",
    )


def _name_of(source: str) -> str:
    parts = [part for part in source.replace("\\", "/").split("/") if part and not set("*?[=") & set(part)]
    return parts[-1].removesuffix(".parquet") if parts else "log"


def _named(features: Sequence[Feature], taken: Sequence[str]) -> dict[str, Feature]:
    """The features by names of their own, which a config may have; tables have names, too."""
    used = {*taken, *(table for one in features if (table := one.keys.get("table")))}
    found: dict[str, Feature] = {}
    for place, feature in enumerate(features):
        wanted = f"{feature.column}_{feature.part}" if feature.part else feature.column
        # The hour of `timestamp` is `hour`, unless a column is called so.
        if feature.keys["kind"] == "time" and feature.part not in {one.column for one in features} | found.keys():
            wanted = feature.part
        found[plain_name(wanted, f"column_{place + 1}", [*used, *found])] = feature
    return found


def _pairs(
    log: Log, labels: Sequence[Label], split: Split, features: Sequence[Feature], columns: Mapping[str, Column]
) -> list[Pair]:
    """The pairs of categories whose combination matters, in the training rows of the sample."""
    is_training = split.part == "train"
    able = [columns[one.column] for one in features if one.keys["kind"] == "categorical" and "buckets" not in one.keys]
    answers = log.sample.filter(is_training).select(
        label.expression.cast(pl.Float64).fill_null(float("nan")).alias(label.name) for label in labels
    )
    label_by_task = {name: np.asarray(answers.get_column(name).to_numpy()) for name in answers.columns}
    return find_pairs([Column(column.values.filter(is_training)) for column in able], label_by_task)


def _cross(pair: Pair) -> Feature:
    buckets = 1000
    while buckets < 10 * pair.cells:
        buckets *= 10
    why = (
        f"together they say more of {pair.task} than each alone, {pair.deviations:.1f} standard deviations above chance"
    )
    keys = {"kind": "cross", "columns": list(pair.columns), "buckets": buckets}
    return Feature("_".join(pair.columns), keys, why)


def _group(log: Log, wishes: Wishes, columns: Mapping[str, Column]) -> tuple[str, str] | None:
    """The users, if they have several rows each."""
    if wishes.group and (rule := broken_key(log.schema[wishes.group])):
        raise InputError(f"--group {wishes.group} holds {log.schema[wishes.group]}; {rule}")
    able = [name for name in columns if names.is_user(name) and broken_key(columns[name].kind) is None]
    for name in [wishes.group] if wishes.group else able:
        column = columns[name]
        rows = len(column.known) / max(column.distinct, 1)
        if wishes.group or rows >= _ROWS_OF_GROUP:
            return name, f"GAUC, the mean of the AUCs within each of its values: {rows:.1f} rows each in {log.of_rows}"
    return None


def _unique(log: Log, excluded: Sequence[Excluded], columns: Mapping[str, Column]) -> tuple[str, str] | None:
    """The column that tells every row from all others, if all rows were looked at."""
    for one in excluded:
        column = columns.get(one.column)
        if column is None or not one.reason.startswith("identifies") or names.names_something(one.column) is not True:
            continue
        if log.is_whole and column.distinct == log.rows:
            return one.column, f"{column.distinct:,} distinct in {log.rows:,} rows: no row is there twice"
    return None


def _without_leaks(drafted: Draft) -> Draft:
    """The draft without features that alone tell a label; those that tell it well are to be looked at."""
    spec = RunConfig.model_validate(drafted.config()).spec
    rows = drafted.log.sample.filter(drafted.split.part == "train").select(spec.sources)
    leaks, strong = find_leaks(spec, rows)
    columns = {column: text for name, text in leaks.items() for column in [drafted.features[name].column]}
    crossed = {n for n, one in drafted.features.items() if columns.keys() & {*one.keys.get("columns", ())}}
    kept = {
        name: replace(one, evidence=f"{one.evidence}; {strong[name]}: is it known before?", look=True)
        if name in strong
        else one
        for name, one in drafted.features.items()
        if one.column not in columns and name not in crossed
    }
    found = [
        Excluded(column, f"{text}: it was probably written after the row's event", look=True)
        for column, text in columns.items()
        if column in drafted.log.schema
    ]
    if not kept:
        reasons = "; ".join(f"{one.column}: {one.reason}" for one in found)
        raise InputError(f"every feature tells a label alone ({reasons}); add columns that are known before the event")
    return replace(drafted, features=kept, excluded=[*drafted.excluded, *found])
