"""Counts of prepared rows: labels of each split, and how much of each feature is known."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import polars as pl

from features.coverage import Coverage
from features.encoder import LABEL
from features.errors import InputError
from pipeline.files import parquet

Counts = dict[str, dict[str, Any]]


def count_labels(parts: Sequence[Path], tasks: Sequence[str]) -> dict[str, Any]:
    """Rows of a split and, for each task, known labels and positives.

    Args:
        parts: The split's files.
        tasks: The tasks.
    """
    if not parts:
        return {"rows": 0, "tasks": {}}
    labels = parquet.scan_all(parts).select(pl.col(LABEL + t) for t in tasks)
    known = labels.select(pl.all().count()).collect().row(0)
    positives = labels.select(pl.all().cast(pl.Int64).sum()).collect().row(0)
    rows = labels.select(pl.len()).collect().item()
    named = {t: {"known": k, "positives": p} for t, k, p in zip(tasks, known, positives, strict=True)}
    return {"rows": rows, "tasks": named}


class OneClassError(InputError):
    """A split has no rows, or not both classes of every task.

    Args:
        message: Every problem.
        splits: The splits with a problem.
    """

    def __init__(self, message: str, splits: Collection[str]) -> None:
        super().__init__(message)
        self.splits = frozenset(splits)


def one_class_problems(counts: Counts) -> dict[str, list[str]]:
    """The problems of each split: no rows, or not both classes of every task.

    Args:
        counts: Split to the result of :func:`count_labels`.
    """
    return {split: problems for split, found in counts.items() if (problems := [*_one_class(split, found)])}


def _one_class(split: str, found: dict[str, Any]) -> Iterator[str]:
    if not found["rows"]:
        yield f"{split} has no rows"
        return
    for task, n in found["tasks"].items():
        if not 0 < n["positives"] < n["known"]:
            known = f"{n['known']} known labels of {found['rows']} rows"
            yield f"{split}: task `{task}` has {n['positives']} positives among {known}"


def check_known(trained: Coverage, rows: int, allowed: Collection[str]) -> None:
    """Refuse features of which no training row has a known value.

    Args:
        trained: Counts of the training rows. If those of files from before there were counts are missing, nothing is
            refused.
        rows: Number of all training rows.
        allowed: Features that may be unknown.

    Raises:
        InputError: If there are such features. All are named.
    """
    fix = "mend its column or declaration, remove the feature, or name it in `[contract] unknown_allowed`"
    nothing = [n for n in trained.features if trained.rows == rows and not trained.known(n) and n not in allowed]
    if problems := [f"feature `{name}` {_never_known(trained, name)}; {fix}" for name in nothing]:
        raise InputError.of(f"features tell nothing of {rows} training rows", problems)


def _never_known(trained: Coverage, name: str) -> str:
    unseen = trained.features[name].unseen
    if not unseen:
        return "has no value that can be read in any of them"
    return f"has no value that is frequent enough for its vocabulary in any of them ({unseen} rows have rarer ones)"


def feature_counts(coverage: Mapping[str, Coverage]) -> dict[str, Any]:
    """Counts of each feature for people: unknown and unseen rows of each split, and whether training has one value.

    Args:
        coverage: Split to its counts.
    """
    train = coverage["train"]
    splits = {split: found.shares() for split, found in coverage.items() if found.rows}
    return {
        name: {**{split: found[name] for split, found in splits.items()}, "constant": train.is_constant(name)}
        for name in train.features
    }


def mean_shares(features: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The share of rows that are unknown, and unseen, of each split, as a mean over features.

    Args:
        features: The result of :func:`feature_counts`.
    """
    splits = dict.fromkeys(split for found in features.values() for split in found if split != "constant")
    return {
        f"data.{kind}.{split}": fmean(found[split][kind] / found[split]["rows"] for found in features.values())
        for split in splits
        for kind in ("unknown", "unseen")
    }
