"""Batches of encoded Parquet files: in a seeded order, in memory bounded by a window of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from features.encoder import GROUP, ID, LABEL, SAMPLE_WEIGHT, VALUE, WEIGHT
from features.spec import FeatureSpec
from pipeline.data.kept_rows import KeptRows
from pipeline.data.windows import Batch, Window
from pipeline.files.parquet import scan_folder
from pipeline.runtime.prefetch import prefetch

Rows = npt.NDArray[np.int64]

WINDOW = 1 << 18  # rows of a window, of which at most three are in memory


class Batches:
    """The rows of one split.

    Rows are read a window at a time, the next window while the present one is used. An epoch visits the windows in a
    random order and the rows of each in a random order, both drawn from the seed and the epoch's number; a split
    smaller than one window is shuffled completely.

    Several ranks share every batch evenly, and have the same number of batches. A batch has the same rows whatever the
    number of ranks. A rank reads the shuffle shards of a window that hold rows of its own: by default the window is one
    shard; with one shard a rank, each rank reads only its own rows. Evaluation needs no order: there each rank reads
    its own stretch of rows.

    Args:
        folder: Folder of Parquet files that :mod:`pipeline.data.prepare` wrote.
        spec: Declares the columns.
        tasks: Tasks whose labels are wanted, in order.
        batch_size: Rows of a batch, over all ranks; a window's last batch may have fewer.
        seed: Seed of the order.
        window: Rows of a window. At most three windows are in memory: one in use, one or two in preparation.
        shuffle_shards: Number of stretches of a window, each shuffled by itself and with an even share of every batch.
        shard: Rank, counted from 0, and number of ranks. A rank's batch is empty where a batch has fewer rows than
            ranks.
        keep_negatives: Share of the rows without a positive label that are among the batches; see
            :class:`pipeline.data.kept_rows.KeptRows`. A window is then that of all rows: it has fewer batches.

    Raises:
        ValueError: If the rank is not below the number of ranks, or there is no shuffle shard.
    """

    def __init__(
        self,
        folder: Path,
        spec: FeatureSpec,
        tasks: Sequence[str],
        *,
        batch_size: int,
        seed: int = 0,
        window: int = WINDOW,
        shuffle_shards: int = 1,
        shard: tuple[int, int] = (0, 1),
        keep_negatives: float = 1.0,
    ) -> None:
        if not 0 <= shard[0] < shard[1]:
            raise ValueError(f"`shard` should be a rank from 0 and the number of ranks. Found `shard = {shard}`.")
        if shuffle_shards < 1:
            raise ValueError(f"`shuffle_shards` should be at least 1. Found `shuffle_shards = {shuffle_shards}`.")
        self._rows = scan_folder(folder)
        self._spec, self._tasks = spec, tasks
        self._batch_size, self._seed, self._window = batch_size, seed, window
        self._rank, self._ranks, self._shuffle_shards = *shard, shuffle_shards
        self._schema = self._rows.collect_schema().names()
        self.rows = int(self._rows.select(pl.len()).collect().item())
        self._held: dict[bool, pl.DataFrame] = {}
        self._kept: KeptRows | None = None
        if keep_negatives < 1:
            self._kept = KeptRows(
                self._rows, total=self.rows, tasks=tasks, share=keep_negatives, seed=seed, window=window
            )

    def __len__(self) -> int:
        """Number of batches of an epoch."""
        return sum(map(self._batches_of, self._starts()))

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """The shuffled batches of one epoch, without the first ``skip``, from which an interrupted epoch goes on.

        Batches have sample weights if a task has.
        """
        generator = np.random.default_rng([self._seed, number])
        starts = generator.permutation(self._starts()).tolist()
        # A separate order for each shard: with a common order the same rows of each would meet in every epoch.
        others = [np.random.default_rng([self._seed, number, part]) for part in range(1, self._shuffle_shards)]
        generators = [generator, *others]
        while starts and skip >= self._batches_of(starts[0]):
            self._orders(starts[0], generators)  # drawn, so that later draws stay the same
            skip -= self._batches_of(starts.pop(0))
        for start, window in self._windows(starts, generators):
            yield from self._parts(start, window, skip)
            skip = 0

    def in_order(self) -> Iterator[Batch]:
        """Every row of the batches once, in the order of the files, with its group if the spec has one."""
        for start, window in self._windows(self._starts()):
            yield from self._parts(start, window)

    def _starts(self) -> list[int]:
        return list(range(0, self.rows, self._window))

    def _rows_of(self, start: int) -> int:
        return min(self._window, self.rows - start) if self._kept is None else self._kept.count(start)

    def _batches_of(self, start: int) -> int:
        return -(-self._rows_of(start) // self._batch_size)

    def _stretch(self, start: int, part: int, parts: int) -> range:
        """The rows of a window that belong to one of several parts, an even share of every batch."""
        full, last = divmod(self._rows_of(start), self._batch_size)
        of_batch, of_last = _part(self._batch_size, part, parts), _part(last, part, parts)
        return range(start + full * of_batch.start + of_last.start, start + full * of_batch.stop + of_last.stop)

    def _mine(self, rows: int) -> range:
        """This rank's share of a batch of ``rows`` rows."""
        return _part(rows, self._rank, self._ranks)

    def _parts(self, start: int, window: Window, skip: int = 0) -> Iterator[Batch]:
        """The batches of a window, without the first ``skip``."""
        size = len(self._mine(self._batch_size))
        for batch in range(skip, self._batches_of(start)):
            yield window.batch(batch * size, min(batch * size + size, len(window)))

    def _windows(
        self, starts: Sequence[int], generators: Sequence[np.random.Generator] = ()
    ) -> Iterator[tuple[int, Window]]:
        """The windows that begin at these rows, each read, and perhaps shuffled, while the one before it is used."""
        return zip(starts, prefetch(partial(self._load, start, generators) for start in starts), strict=True)

    def _load(self, start: int, generators: Sequence[np.random.Generator]) -> Window:
        """This rank's rows of one window, in the order that its batches take them."""
        if generators:
            frame = self._picked(start, self._shuffled(start, self._orders(start, generators)), in_order=False)
        elif self._kept is None:
            frame = self._read(self._stretch(start, self._rank, self._ranks), in_order=True)
        else:
            frame = self._picked(start, np.asarray(self._stretch(start, self._rank, self._ranks)), in_order=True)
        return Window.of(frame, self._spec, self._tasks)

    def _picked(self, start: int, row_N: Rows, *, in_order: bool) -> pl.DataFrame:
        """Rows of a window in any order; where rows are left out, they are counted without those."""
        if self._kept is not None:
            row_N = self._kept.numbers(start)[row_N - start]
        first, end = (int(row_N.min()), int(row_N.max()) + 1) if len(row_N) else (start, start)
        # Polars gathers on every core and moves lists with their rows, so that a batch is a slice.
        return self._read(range(first, end), in_order=in_order)[row_N - first]

    def _orders(self, start: int, generators: Sequence[np.random.Generator]) -> list[Rows]:
        """The rows of each shuffle shard of a window, in a random order."""
        stretches = (self._stretch(start, part, self._shuffle_shards) for part in range(self._shuffle_shards))
        return [s.start + generator.permutation(len(s)) for s, generator in zip(stretches, generators, strict=True)]

    def _shuffled(self, start: int, orders: Sequence[Rows]) -> Rows:
        """This rank's rows of a window, batch by batch: each batch takes some of every shard, in its order."""
        full, last = divmod(self._rows_of(start), self._batch_size)
        batches: list[list[Rows]] = [[], []]
        for part, rows in enumerate(orders):
            size = len(_part(self._batch_size, part, self._shuffle_shards))
            whole, left = np.split(rows, [full * size])
            batches[0].append(whole.reshape(full, size))
            batches[1].append(left[None])
        both = [(np.hstack(batches[0]), self._mine(self._batch_size)), (np.hstack(batches[1]), self._mine(last))]
        return np.concatenate([rows[:, mine.start : mine.stop].ravel() for rows, mine in both])

    def _read(self, rows: range, *, in_order: bool) -> pl.DataFrame:
        """Some rows of a window; a split with a single window is read once and kept."""
        if self.rows > self._window:
            return self._collected(rows, in_order)
        if in_order not in self._held:
            self._held[in_order] = self._collected(range(self.rows), in_order)
        return self._held[in_order][rows.start : rows.stop]

    def _collected(self, rows: range, in_order: bool) -> pl.DataFrame:
        # In one piece: picking rows out of several takes five times as long.
        return self._rows.select(self._columns(in_order)).slice(rows.start, len(rows)).collect().rechunk()

    def _columns(self, in_order: bool) -> list[str]:
        """The columns to read: every feature, the labels of the tasks, and weights or groups as needed."""
        beside = {LABEL + task for task in self._tasks}
        beside |= {GROUP} if in_order else {SAMPLE_WEIGHT + task for task in self._tasks}
        return [name for name in self._schema if name.startswith((ID, WEIGHT, VALUE)) or name in beside]


def _part(rows: int, part: int, parts: int) -> range:
    """A part's share of rows: shares are even, except that the first parts may have one row more."""
    share, rest = divmod(rows, parts)
    begin = part * share + min(part, rest)
    return range(begin, begin + share + (part < rest))
