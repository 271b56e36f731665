"""Drafts a config from a log's own files: every choice with its evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from features.errors import InputError
from features.naming import broken_key
from features.nearest import did_you_mean
from pipeline.profiling import labels as labelling
from pipeline.profiling.choice import Choices
from pipeline.profiling.column import Column, share
from pipeline.profiling.column_features import column_features
from pipeline.profiling.crosses import crosses
from pipeline.profiling.draft import Draft
from pipeline.profiling.event_time import event_time, without_time
from pipeline.profiling.feature_names import name_of, named
from pipeline.profiling.labels import Label
from pipeline.profiling.leaks import without_leaks
from pipeline.profiling.left_out import is_flat, outcomes, unreadable
from pipeline.profiling.log import Log, missing_days
from pipeline.profiling.plain_names import plain_name
from pipeline.profiling.questions import Asker
from pipeline.profiling.row_keys import find_group, find_unique
from pipeline.profiling.shared_tables import with_shared_tables
from pipeline.profiling.splitting import Split, choose_split
from pipeline.profiling.times import find_times
from pipeline.profiling.training import choose_training
from pipeline.profiling.wishes import Wishes
from pipeline.runtime.progress import Progress, Silent


def draft(source: str, wishes: Wishes, asker: Asker, progress: Progress = Silent()) -> Draft:
    """Draft a config for a log.

    Args:
        source: Parquet file, folder or glob.
        wishes: The choices that the user has made.
        asker: Answers what the files do not tell.
        progress: Shows the steps.

    Raises:
        InputError: If the files cannot be read, labels are not there or have one class, rows cannot be split, or no
            column can be a feature.
    """
    log = Log.read(source, progress=progress)
    _check_names(log, wishes)
    labels = labelling.find_labels(log, wishes.labels or _asked_labels(log, asker))
    columns = {name: Column(log.sample.get_column(name)) for name in log.sample.columns if is_flat(log.schema[name])}
    answers = {column for label in labels for column in label.columns}
    times = find_times([column for name, column in columns.items() if name not in answers])
    own = event_time(log, times, wishes, asker)
    keys = {n: c for n, c in columns.items() if n not in answers and n not in times and broken_key(c.kind) is None}
    split = choose_split(log, keys, labels, own, without_time(log, columns, times, own))
    free = {name: column for name, column in columns.items() if name not in answers}
    choices = outcomes(free, wishes, asker) + unreadable(log)
    choices += column_features(log, free, times, own, split, {one.column for one in choices.excluded}, progress)
    drafted = _assembled(log, wishes, labels, split, choices, columns, progress)
    return without_leaks(drafted, progress)


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


def _assembled(
    log: Log,
    wishes: Wishes,
    labels: Sequence[Label],
    split: Split,
    choices: Choices,
    columns: Mapping[str, Column],
    progress: Progress,
) -> Draft:
    chosen = with_shared_tables(choices.features, columns)
    if not chosen:
        reasons = "; ".join(f"{one.column}: {one.reason}" for one in choices.excluded) or "it has labels alone"
        raise InputError(f"no column of `{log.source}` can be a feature ({reasons}); add columns that are known before")
    training_rows = round(log.rows * share(split.part == "train"))
    chosen += crosses(log, labels, split, chosen, columns, progress)
    gap = missing_days(log.table.files)
    return Draft(
        name=plain_name(wishes.name or name_of(log.source), "log"),
        log=log,
        labels=labels,
        split=split,
        features=named(chosen, [label.name for label in labels]),
        excluded=choices.excluded,
        group=find_group(log, wishes, columns),
        unique=find_unique(log, choices.excluded, columns),
        training=choose_training(training_rows, has_hashes=any(one.keys.get("buckets") for one in choices.features)),
        day_gap=f"{gap} day(s) between the first and the last have no file" if gap else "",
    )
