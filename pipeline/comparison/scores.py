"""What finished runs say of the test rows, kept beside their weights, so that runs are compared row by row."""

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
from pipeline.data.prepared import Prepared
from pipeline.data.windows import Window
from pipeline.evaluation.ranking import NO_GROUP
from pipeline.files.atomic import atomic
from pipeline.runs.run import WEIGHTS, Run
from pipeline.serving.scorer import load_network

SCORES = "scores.safetensors"
LIMIT = 500_000  # test rows whose scores are kept: 2 MB a task and run
_BATCH = 8192


@dataclass(frozen=True)
class TestRows:
    """The test rows that runs are compared on: all of them, or of very many a sample that is the same for every run.

    The sample is every so manieth row, or, where the spec has a group, all rows of so many groups by their hash.

    Args:
        prepared: Whose test rows.
        limit: Most rows without sampling.
    """

    __test__ = False  # no test case, whatever its name looks like

    prepared: Prepared
    limit: int = LIMIT

    @property
    def step(self) -> int:
        """One row, or group, in so many is in the sample; 1 for all."""
        return max(1, -(-self.total // self.limit))

    @property
    def total(self) -> int:
        """Rows that there are."""
        return self.prepared.rows["test"]

    def __len__(self) -> int:
        return self._beside.height

    @property
    def share(self) -> float:
        """Share of all rows that are in the sample."""
        return len(self) / self.total

    def labels(self, tasks: Sequence[str]) -> npt.NDArray[np.float32]:
        """Rows x tasks: 0, 1, or NaN where unknown."""
        columns = [pl.col(LABEL + task).cast(pl.Float32).fill_null(float("nan")) for task in tasks]
        return self._beside.select(columns).to_numpy()

    @property
    def unit_N(self) -> npt.NDArray[np.int64] | None:
        """The rows' groups, a row without one alone in its own; None where the spec has none."""
        if GROUP not in self._beside.columns:
            return None
        group_N = self._beside.get_column(GROUP).fill_null(NO_GROUP).to_numpy()
        return np.where(group_N == NO_GROUP, -1 - np.arange(len(group_N)), group_N)

    @cached_property
    def features(self) -> pl.DataFrame:
        """The encoded rows; read when a run has no scores yet."""
        return self._sample.collect().rechunk()

    @property
    def _sample(self) -> pl.LazyFrame:
        rows = pl.scan_parquet(self.prepared.folder / "test" / "*.parquet")
        if self.step == 1:
            return rows
        number = pl.coalesce(GROUP, "row") if GROUP in rows.collect_schema() else pl.col("row")
        return rows.with_row_index("row").filter(number.cast(pl.Int64) % self.step == 0).drop("row")

    @cached_property
    def _beside(self) -> pl.DataFrame:
        names = self._sample.collect_schema().names()
        return self._sample.select(n for n in names if n == GROUP or n.startswith(LABEL)).collect()


def scores_of(run: Run, rows: TestRows) -> npt.NDArray[np.float32]:
    """Rows x tasks of probabilities: read where a run has them, else computed from its weights and kept.

    Args:
        run: A finished run.
        rows: The rows.
    """
    held = stored(run.folder, rows)
    if held is None:
        held = _computed(run, rows)
        with atomic(run.folder / SCORES) as draft:
            save_file(as_tensors(held, rows), draft)
    return held


def stored(folder: Path, rows: TestRows) -> npt.NDArray[np.float32] | None:
    """A run's kept scores; None where there are none, or they are damaged or of another sample."""
    try:
        held = load_file(folder / SCORES)
    except (FileNotFoundError, SafetensorError):
        return None
    if held["step"].item() != rows.step or len(held["probability_NT"]) != len(rows):
        return None
    scores: npt.NDArray[np.float32] = held["probability_NT"].numpy()
    return scores


def as_tensors(probability_NT: npt.NDArray[np.float32], rows: TestRows) -> dict[str, Tensor]:
    """Scores as they are kept."""
    return {"probability_NT": torch.from_numpy(probability_NT), "step": torch.tensor(rows.step)}


def _computed(run: Run, rows: TestRows) -> npt.NDArray[np.float32]:
    """By the network that would be served."""
    encoder = rows.prepared.encoder()
    net = load_network(encoder, run.tasks, run.architecture, run.folder / WEIGHTS)
    window = Window.of(rows.features, encoder.spec, ())
    batches = (window.batch(start, min(start + _BATCH, len(window))) for start in range(0, len(window), _BATCH))
    with torch.no_grad():
        return torch.cat([net(batch.bags, batch.value_BV).sigmoid() for batch in batches]).numpy()
