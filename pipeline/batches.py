"""Encoded Parquet to batches: seeded, and bounded in memory by a window of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from features.encoder import ID, LABEL, VALUE, WEIGHT
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


@dataclass(frozen=True)
class Window:
    """Encoded rows in memory, ready to be taken apart in any order.

    Args:
        ids_NF: Ids of the single-valued features.
        lists: Multi-hot feature to its ids one row after another, where each row's begin, and their weights.
        value_NV: Numbers.
        labels_NT: 0, 1, or NaN where unknown.
        spec: Declares the features.
    """

    ids_NF: Tensor
    lists: dict[str, tuple[Tensor, Tensor, Tensor | None]]
    value_NV: Tensor
    labels_NT: Tensor
    spec: FeatureSpec

    @classmethod
    def of(cls, frame: pl.DataFrame, spec: FeatureSpec, tasks: Sequence[str]) -> Window:
        """Encoded columns as tensors."""
        single = [ID + n for n in spec.id_features if n not in spec.multi_hot_features]
        return cls(
            ids_NF=_matrix(frame, single, torch.int32),
            lists={n: _ragged(frame, n, weighted=spec.weighted) for n in spec.multi_hot_features},
            value_NV=_matrix(frame, [VALUE + n for n in spec.value_features], torch.float32),
            labels_NT=_matrix(frame, [LABEL + n for n in tasks], torch.float32),
            spec=spec,
        )

    def __len__(self) -> int:
        return len(self.value_NV)

    def take(self, rows_B: Tensor) -> Batch:
        """Some rows as one batch, in the order given."""
        return Batch(self._bags(rows_B), self.value_NV[rows_B], self.labels_NT[rows_B])

    def _bags(self, rows_B: Tensor) -> Bags:
        """What the rows read, features one after another."""
        ids_FB = self.ids_NF[rows_B].T
        if not self.lists:
            return Bags(ids_FB.reshape(-1), torch.ones(ids_FB.numel(), dtype=torch.int32))
        single, one_B = iter(ids_FB), torch.ones(len(rows_B), dtype=torch.int32)
        parts = [
            _taken(*self.lists[name], rows_B) if name in self.lists else (next(single), one_B, None)
            for name in self.spec.id_features
        ]
        weight_N = None
        if self.spec.weighted:
            weight_N = torch.cat([torch.ones(len(ids)) if w is None else w for ids, _, w in parts])
        return Bags(torch.cat([ids for ids, _, _ in parts]), torch.cat([n for _, n, _ in parts]), weight_N)


class Batches:
    """The rows of one split.

    Rows are read a window at a time, the next one while the present one is used. An epoch visits the windows in a
    random order and the rows of each in a random order, both drawn from the seed and the epoch's number; a split
    smaller than one window is shuffled completely.

    Args:
        folder: Folder of Parquet files that :mod:`pipeline.prepare` wrote.
        spec: Declares the columns.
        tasks: Tasks whose labels are wanted, in order.
        batch_size: Rows a batch; the last one of a window may have fewer.
        seed: Seed of the order.
        window: Rows of a window; at most three are in memory.
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
        self._held: tuple[int, Window] | None = None

    def __len__(self) -> int:
        """Batches an epoch."""
        return sum(map(self._batches_of, self._starts()))

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, shuffled, without the first ones: where an interrupted epoch goes on."""
        generator = np.random.default_rng([self._seed, number])
        starts = generator.permutation(self._starts()).tolist()
        while starts and skip >= self._batches_of(starts[0]):
            generator.permutation(self._rows_of(starts[0]))  # drawn, so that what follows is drawn alike
            skip -= self._batches_of(starts.pop(0))
        for window in self._windows(starts):
            order = torch.from_numpy(generator.permutation(len(window)))
            for rows_B in order.split(self._batch_size)[skip:]:
                yield window.take(rows_B)
            skip = 0

    def in_order(self) -> Iterator[Batch]:
        """Every row once, in the order of the files."""
        for window in self._windows(self._starts()):
            for rows_B in torch.arange(len(window)).split(self._batch_size):
                yield window.take(rows_B)

    def _starts(self) -> list[int]:
        return list(range(0, self.rows, self._window))

    def _rows_of(self, start: int) -> int:
        return min(self._window, self.rows - start)

    def _batches_of(self, start: int) -> int:
        return -(-self._rows_of(start) // self._batch_size)

    def _windows(self, starts: Sequence[int]) -> Iterator[Window]:
        """The windows that begin at these rows, each read while the one before it is used."""
        with ThreadPoolExecutor(max_workers=1) as reader:
            coming = [reader.submit(self._load, start) for start in starts[:1]]
            for place in range(len(starts)):
                window = coming.pop().result()
                coming += [reader.submit(self._load, following) for following in starts[place + 1 : place + 2]]
                yield window

    def _load(self, start: int) -> Window:
        """One window; the last one read is kept, so that a small split is read once."""
        held = self._held
        if held is None or held[0] != start:
            held = start, Window.of(self._rows.slice(start, self._window).collect(), self._spec, self._tasks)
            self._held = held
        return held[1]


def _taken(
    ids_N: Tensor, begin_B: Tensor, weight_N: Tensor | None, rows_B: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The entries of some rows, one row after another: their ids, how many each row has, their weights."""
    first_B, length_B = begin_B[rows_B], begin_B[rows_B + 1] - begin_B[rows_B]
    end_B = length_B.cumsum(0)
    place_N = torch.arange(int(end_B[-1])) + (first_B - (end_B - length_B)).repeat_interleave(length_B)
    return ids_N[place_N], length_B.to(torch.int32), None if weight_N is None else weight_N[place_N]


def _ragged(frame: pl.DataFrame, name: str, *, weighted: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """A list column's entries, where each row's begin (and the last one's end), and their weights."""
    ids = frame.get_column(ID + name)
    begin_B = torch.cat([torch.zeros(1, dtype=torch.int64), ids.list.len().cast(pl.Int64).to_torch().cumsum(0)])
    entries = ids.explode(empty_as_null=False).to_torch()
    weights = frame.get_column(WEIGHT + name).explode(empty_as_null=False).to_torch() if weighted else None
    return entries, begin_B, weights


def _matrix(frame: pl.DataFrame, columns: Sequence[str], dtype: torch.dtype) -> Tensor:
    """Columns side by side, NaN where null; rows x 0 if there are none, where a frame would lose its rows."""
    if not columns:
        return torch.empty(frame.height, 0, dtype=dtype)
    if dtype == torch.int32:
        return frame.select(columns).to_torch(dtype=pl.Int32)
    return frame.select(pl.col(columns).cast(pl.Float32).fill_null(float("nan"))).to_torch(dtype=pl.Float32)
