"""Encoded Parquet to batches: seeded, and bounded in memory by a window of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from features.encoder import ID, LABEL, VALUE
from features.spec import FeatureSpec
from models.cut import Bags


@dataclass(frozen=True)
class Batch:
    """What a model reads, and the labels.

    Args:
        bags: Ids of every feature with a table.
        value_BV: Standardised numbers.
        labels_BT: 0, 1, or NaN where unknown; no columns when serving.
    """

    bags: Bags
    value_BV: Tensor
    labels_BT: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return Batch(self.bags.to(device), self.value_BV.to(device), self.labels_BT.to(device))


class Batches:
    """The rows of one split.

    Rows are read a window at a time. An epoch visits the windows in a random order and the rows of each in a random
    order, both drawn from the seed and the epoch's number; a split smaller than one window is shuffled completely.

    Args:
        folder: Folder of Parquet files that :mod:`pipeline.prepare` wrote.
        spec: Declares the columns.
        tasks: Tasks whose labels are wanted, in order.
        batch_size: Rows a batch; the last one of a window may have fewer.
        seed: Seed of the order.
        window: Rows held in memory.
    """

    def __init__(
        self,
        folder: Path,
        spec: FeatureSpec,
        tasks: Sequence[str],
        *,
        batch_size: int,
        seed: int = 0,
        window: int = 1 << 18,
    ) -> None:
        self._rows = pl.scan_parquet(folder / "*.parquet")
        self._spec, self._tasks = spec, tasks
        self._batch_size, self._seed, self._window = batch_size, seed, window
        self.rows = int(self._rows.select(pl.len()).collect().item())
        self._held: tuple[int, Batch] | None = None

    def __len__(self) -> int:
        """Batches an epoch."""
        sizes = [min(self._window, self.rows - start) for start in self._starts()]
        return sum(-(-size // self._batch_size) for size in sizes)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, shuffled."""
        generator = np.random.default_rng([self._seed, number])
        for start in generator.permutation(self._starts()):
            table = self._load(int(start))
            yield from self._cut(table, torch.from_numpy(generator.permutation(len(table.value_BV))))

    def in_order(self) -> Iterator[Batch]:
        """Every row once, in the order of the files."""
        for start in self._starts():
            table = self._load(start)
            yield from self._cut(table, torch.arange(len(table.value_BV)))

    def _starts(self) -> list[int]:
        return list(range(0, self.rows, self._window))

    def _load(self, start: int) -> Batch:
        """One window as tensors, row-major; the last one read is kept, so that a small split is read once."""
        if self._held is None or self._held[0] != start:
            self._held = start, tensors(self._rows.slice(start, self._window).collect(), self._spec, self._tasks)
        return self._held[1]

    def _cut(self, table: Batch, order: Tensor) -> Iterator[Batch]:
        ids_NF = table.bags.ids_N.view(len(self._spec.id_features), -1).T.contiguous()
        for rows in order.split(self._batch_size):
            yield Batch(single_valued(ids_NF[rows]), table.value_BV[rows], table.labels_BT[rows])


def single_valued(ids_BF: Tensor) -> Bags:
    """Bags of one id each, features one after another."""
    return Bags(ids_BF.T.reshape(-1), torch.ones(ids_BF.numel(), dtype=torch.int32))


def tensors(frame: pl.DataFrame, spec: FeatureSpec, tasks: Sequence[str]) -> Batch:
    """Encoded rows as one batch."""
    ids_BF = _matrix(frame, [ID + n for n in spec.id_features], torch.int32)
    value_BV = _matrix(frame, [VALUE + n for n in spec.value_features], torch.float32)
    labels_BT = _matrix(frame, [LABEL + n for n in tasks], torch.float32)
    return Batch(single_valued(ids_BF), value_BV, labels_BT)


def _matrix(frame: pl.DataFrame, columns: Sequence[str], dtype: torch.dtype) -> Tensor:
    """Columns side by side, NaN where null; rows x 0 if there are none, where a frame would lose its rows."""
    if not columns:
        return torch.empty(frame.height, 0, dtype=dtype)
    if dtype == torch.int32:
        return frame.select(columns).to_torch(dtype=pl.Int32)
    return frame.select(pl.col(columns).cast(pl.Float32).fill_null(float("nan"))).to_torch(dtype=pl.Float32)
