"""Scores of the test rows, kept in the folder of each finished run, so that runs can be compared row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from features.encoder import GROUP, LABEL
from pipeline.comparison.packed import packed_run
from pipeline.data.prepared import Prepared
from pipeline.data.windows import Window
from pipeline.evaluation.sample import sampled, sampling_step, sampling_units
from pipeline.files.atomic import atomic
from pipeline.runs.plan import Split
from pipeline.runs.run import Run

SCORES = "scores.safetensors"
_KEPT: dict[Split, str] = {"test": SCORES, "val": "validation_scores.safetensors"}
LIMIT = 500_000  # most test rows whose scores are kept: 2 MB a task and run


@dataclass(frozen=True)
class TestRows:
    """The test rows that runs are compared on: all of them, or above a limit a sample, the same for every run.

    The sample is every n-th row, or, where the spec has a group, all rows of about every n-th group; see
    :func:`pipeline.evaluation.sample.sampled`.

    Args:
        prepared: The data with the rows.
        limit: The largest number of rows that is used without sampling.
        split: The split of the rows; ``"val"`` for the rows that chose the epoch instead.
    """

    __test__ = False  # pytest would take the class for a test by its name

    prepared: Prepared
    limit: int = LIMIT
    split: Split = "test"

    @property
    def step(self) -> int:
        """The n of a sample of every n-th row or group; 1 for all rows."""
        return sampling_step(self.total, self.limit)

    @property
    def total(self) -> int:
        """Number of all test rows, in the sample or not."""
        return self.prepared.rows[self.split]

    def __len__(self) -> int:
        return self._metadata.height

    @property
    def share(self) -> float:
        """The sample's share of all test rows."""
        return len(self) / self.total

    def labels(self, tasks: Sequence[str]) -> npt.NDArray[np.float32]:
        """Rows x tasks: 0, 1, or NaN where unknown."""
        columns = [pl.col(LABEL + task).cast(pl.Float32).fill_null(float("nan")) for task in tasks]
        return self._metadata.select(columns).to_numpy()

    @property
    def unit_N(self) -> npt.NDArray[np.int64] | None:
        """Number of each row's unit, such as its user; None where the spec has no group."""
        return sampling_units(self._metadata, GROUP)

    @cached_property
    def features(self) -> pl.DataFrame:
        """The encoded rows, read only for a run without kept scores."""
        return self._sample.collect().rechunk()

    @property
    def _sample(self) -> pl.LazyFrame:
        return sampled(self.prepared.scan(self.split), self.step, GROUP)

    @cached_property
    def _metadata(self) -> pl.DataFrame:
        names = self._sample.collect_schema().names()
        return self._sample.select(n for n in names if n == GROUP or n.startswith(LABEL)).collect()


def scores_of(run: Run, rows: TestRows) -> npt.NDArray[np.float32]:
    """Probabilities, rows x tasks: read if the run has kept them, else computed from its weights and kept.

    Args:
        run: A finished run.
        rows: The rows.
    """
    held = stored(run.folder, rows)
    if held is None:
        held = computed_scores(run, rows)
        with atomic(run.folder / _KEPT[rows.split]) as draft:
            save_file(as_tensors(held, rows), draft)
    return held


def stored(folder: Path, rows: TestRows) -> npt.NDArray[np.float32] | None:
    """A run's kept scores; None if they are missing, damaged or of another sample."""
    try:
        held = load_file(folder / _KEPT[rows.split])
    except (FileNotFoundError, SafetensorError):
        return None
    if held["step"].item() != rows.step or len(held["probability_NT"]) != len(rows):
        return None
    scores: npt.NDArray[np.float32] = held["probability_NT"].numpy()
    return scores


def as_tensors(probability_NT: npt.NDArray[np.float32], rows: TestRows) -> dict[str, Tensor]:
    """The content of a file of scores."""
    return {"probability_NT": torch.from_numpy(probability_NT), "step": torch.tensor(rows.step)}


def computed_scores(run: Run, rows: TestRows) -> npt.NDArray[np.float32]:
    """Probabilities, rows x tasks, by the model in the form that is served; nothing is kept."""
    encoder = rows.prepared.encoder()
    predictor = packed_run(run).load(encoder)
    probability_NO = predictor.probabilities(Window.of(rows.features, encoder.spec, ()))
    probability_NT: npt.NDArray[np.float32] = probability_NO[:, : len(run.tasks)].float().numpy()
    return probability_NT
