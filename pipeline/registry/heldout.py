"""Held-out raw rows, scored by registered models, each with its own encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from features.encoder import GROUP, LABEL
from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.data.raw_rows import labels_and_groups, raw_rows
from pipeline.evaluation.sample import sample_mask, sampling_step, sampling_units
from pipeline.serving.scorer import Scorer


@dataclass(frozen=True)
class HeldOut:
    """Rows that no model has seen, and each model's scores of them.

    Args:
        labels: A column a task: 1, 0, or null where unknown.
        scores: A frame a model, with a column for each task that it predicts.
        unit_N: Number of each row's unit, such as its user; None where the spec has no group.
        unscored: Position of a model that cannot score all rows, to the reason. Its frame of scores is empty then.
    """

    labels: pl.DataFrame
    scores: tuple[pl.DataFrame, ...]
    unit_N: npt.NDArray[np.int64] | None
    unscored: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.labels.height


def held_out(
    config: RunConfig, prepared: Prepared, scorers: Sequence[Scorer], limit: int, at_a_time: int = 32_768
) -> HeldOut:
    """The test rows of prepared data, read again from the raw files, and scored.

    Rows are read in pieces, and only the labels, scores and groups of each row are kept. If one model cannot score the
    rows, the others still do.

    Args:
        config: The config, which names the raw files.
        prepared: The data that was prepared from these files.
        scorers: The models.
        limit: The largest number of rows that is used without sampling; above it the rows are the sample that
            :class:`pipeline.comparison.scores.TestRows` takes, too.
        at_a_time: Number of rows scored together.

    Raises:
        InputError: If raw files are missing, have changed or lack a column that a model reads, or if the sample is
            empty.
    """
    encoder, step = prepared.encoder(), sampling_step(prepared.rows["test"], limit)
    kept: list[pl.DataFrame] = []
    scorings = [_Scoring(scorer) for scorer in scorers]
    start = 0
    columns = tuple({column: None for scorer in scorers for column in scorer.encoder.dtypes})
    for rows in raw_rows(config, prepared, "test", columns):
        metadata = labels_and_groups(encoder, rows)
        taken = sample_mask(metadata, step, GROUP, first=start)
        start += rows.height
        kept.append(metadata.filter(taken))
        for piece in rows.filter(taken).iter_slices(at_a_time):
            for scoring in scorings:
                scoring.add(piece)
    if not any(metadata.height for metadata in kept):
        found = f"`gate.rows` = {limit} keeps one in {step} groups of the {start} test rows, and these are empty"
        raise InputError(f"{found}; raise `gate.rows`, or group by a column with more values")
    every = pl.concat(kept)
    labels = every.select(pl.col(LABEL + task).alias(task) for task in encoder.spec.tasks)
    unscored = {place: scoring.problem for place, scoring in enumerate(scorings) if scoring.problem}
    return HeldOut(labels, tuple(scoring.scores() for scoring in scorings), sampling_units(every, GROUP), unscored)


@dataclass
class _Scoring:
    """One model's scores of the rows, or the reason why it cannot score all of them.

    Args:
        scorer: The model.
        parts: Scores of the rows so far; emptied at the first row that cannot be scored.
        problem: The reason why a row cannot be scored; empty as long as all can.
    """

    scorer: Scorer
    parts: list[pl.DataFrame] = field(default_factory=list)
    problem: str = ""

    def add(self, rows: pl.DataFrame) -> None:
        """Score more rows."""
        if self.problem:
            return
        try:
            self.parts.append(self.scorer.score(rows).select(self.scorer.tasks).cast(pl.Float32))
        except InputError as error:
            self.parts, self.problem = [], str(error)

    def scores(self) -> pl.DataFrame:
        """The scores of all rows, a column for each task."""
        return pl.concat([pl.DataFrame(schema=dict.fromkeys(self.scorer.tasks, pl.Float32)), *self.parts])
