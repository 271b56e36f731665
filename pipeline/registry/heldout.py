"""Held-out raw rows, and what registered models say of them, each through an encoder of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from features.encoder import GROUP, LABEL, Encoder
from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.config.split import SplitConfig
from pipeline.data.chunks import Reading, chunks
from pipeline.data.prepared import Prepared
from pipeline.evaluation.ranking import NO_GROUP
from pipeline.files import parquet
from pipeline.files.atomic import sha256_file
from pipeline.serving.scorer import Scorer
from pipeline.validation import raw_data

_AT_A_TIME = 32_768  # rows scored together


@dataclass(frozen=True)
class HeldOut:
    """Rows that no model has seen.

    Args:
        labels: A column a task: 1, 0, or null where unknown.
        scores: Of each model, a column for each task that it predicts.
        unit_N: Number of what each row belongs to, such as its user; None where the spec has no group.
        unscored: Place of a model that cannot score them all, to why. It has no scores then.
    """

    labels: pl.DataFrame
    scores: tuple[pl.DataFrame, ...]
    unit_N: npt.NDArray[np.int64] | None
    unscored: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.labels.height


def held_out(config: RunConfig, prepared: Prepared, scorers: Sequence[Scorer], limit: int) -> HeldOut:
    """The test rows of prepared data, read again from the raw files, and scored.

    They are read some rows at a time; what is kept of a row is its labels and scores.

    Args:
        config: Where the raw files are.
        prepared: What they were prepared to.
        scorers: The models.
        limit: Most rows. Of more every so manieth is taken, or all rows of so many groups by their hash.

    Raises:
        InputError: If raw files are missing or have changed, or lack a column that a model reads, or no group is among
            so few rows. Not if a model cannot score the rows: the others are scored all the same.
    """
    encoder, step = prepared.encoder(), max(1, -(-prepared.rows["test"] // limit))
    besides: list[pl.DataFrame] = []
    scorings = [_Scoring(scorer) for scorer in scorers]
    start = 0
    for rows in _test_rows(config, prepared, scorers):
        beside = _beside(encoder, rows).with_row_index("row", offset=start)
        start += rows.height
        taken = _sample(beside, step)
        besides.append(beside.filter(taken))
        for piece in rows.filter(taken).iter_slices(_AT_A_TIME):
            for scoring in scorings:
                scoring.add(piece)
    if not any(beside.height for beside in besides):
        found = f"`gate.rows` = {limit} of {start} test rows: of {step} groups one is taken, and it has none"
        raise InputError(f"{found}; raise `gate.rows`, or group by a column of more values")
    every = pl.concat(besides)
    labels = every.select(pl.col(LABEL + task).alias(task) for task in encoder.spec.tasks)
    unscored = {place: scoring.problem for place, scoring in enumerate(scorings) if scoring.problem}
    return HeldOut(labels, tuple(scoring.scores() for scoring in scorings), _units(every), unscored)


@dataclass
class _Scoring:
    """What one model says of the rows: nothing at all once it cannot score some of them.

    Args:
        scorer: The model.
        parts: Scores of the rows so far.
        problem: Why it cannot; empty as long as it can.
    """

    scorer: Scorer
    parts: list[pl.DataFrame] = field(default_factory=list)
    problem: str = ""

    def add(self, rows: pl.DataFrame) -> None:
        """Score more rows."""
        if self.problem:
            return
        try:
            self.parts.append(self.scorer.score(rows).cast(pl.Float32))
        except InputError as error:
            self.parts, self.problem = [], str(error)

    def scores(self) -> pl.DataFrame:
        """Of all rows, a column for each task."""
        return pl.concat([pl.DataFrame(schema=dict.fromkeys(self.scorer.tasks, pl.Float32)), *self.parts])


def _beside(encoder: Encoder, rows: pl.DataFrame) -> pl.DataFrame:
    """Labels and groups; Polars leaves out the features that nobody asks for."""
    encoded = encoder.encode(rows.lazy())
    names = encoded.collect_schema().names()
    return encoded.select(name for name in names if name.startswith(LABEL) or name == GROUP).collect()


def _sample(beside: pl.DataFrame, step: int) -> pl.Series:
    row = pl.col("row").cast(pl.Int64)
    number = pl.coalesce(GROUP, row) if GROUP in beside.columns else row
    return beside.select(number % step == 0).to_series()


def _units(beside: pl.DataFrame) -> npt.NDArray[np.int64] | None:
    """The rows' groups, a row without one alone in its own."""
    if GROUP not in beside.columns:
        return None
    group_N = beside.get_column(GROUP).fill_null(NO_GROUP).to_numpy()
    return np.where(group_N == NO_GROUP, -1 - np.arange(len(group_N)), group_N)


def _test_rows(config: RunConfig, prepared: Prepared, scorers: Sequence[Scorer]) -> Iterator[pl.DataFrame]:
    """The raw rows of the test split, some at a time, with every column that a model reads."""
    columns = tuple({column: None for scorer in scorers for column in scorer.encoder.dtypes})
    spec, split = prepared.encoder().spec, SplitConfig.model_validate(prepared.manifest["split"])
    reading = Reading(spec, split, holdout=prepared.split["holdout"], beside=columns)
    for role, path in _files(config, prepared):
        missing = [column for column in columns if column not in parquet.scan(path).collect_schema()]
        if missing:
            raise InputError.of(f"{path} lacks columns that a registered model reads", [f"`{c}`" for c in missing])
        for chunk in chunks(role, path, path.stem):
            rows = chunk.read(reading).get("test")
            if rows is not None:
                yield rows


def _files(config: RunConfig, prepared: Prepared) -> Iterator[tuple[str, Path]]:
    """Role and path of the raw files with test rows, which are still what they were.

    Raises:
        InputError: If one of them is not.
    """
    for role, paths in raw_data.find_raw_files(config).items():
        digests = prepared.manifest["sources"][role]
        if len(paths) != len(digests):
            raise InputError(f"data.{role} has {len(paths)} files, and had {len(digests)}; {_AGAIN}")
        for path, digest in zip(paths, digests, strict=True):
            if any(part.startswith("test/") for part in prepared.manifest["files"][role][digest]):
                if sha256_file(path) != digest:
                    raise InputError(f"{path} has changed since it was prepared; {_AGAIN}")
                yield role, path


_AGAIN = "run `gradops prepare` again"
