"""Encoded Parquet to batches: seeded, and bounded in memory by a window of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from features.encoder import GROUP, ID, LABEL, SAMPLE_WEIGHT, VALUE, WEIGHT
from features.spec import FeatureSpec
from pipeline.ahead import ahead
from pipeline.windows import Batch, Window

WINDOW = 1 << 18  # rows in memory at a time, three times over at most


class Batches:
    """The rows of one split.

    Rows are read a window at a time, the next one while the present one is used. An epoch visits the windows in a
    random order and the rows of each in a random order, both drawn from the seed and the epoch's number; a split
    smaller than one window is shuffled completely.

    Of several ranks each reads one stretch of every window. Batch b of all ranks together has as many rows as batch b
    of one rank alone: all ranks have equally many batches, of sizes that differ by one row at most.

    Args:
        folder: Folder of Parquet files that :mod:`pipeline.prepare` wrote.
        spec: Declares the columns.
        tasks: Tasks whose labels are wanted, in order.
        batch_size: Rows a batch, over all ranks; the last one of a window may have fewer.
        seed: Seed of the order.
        window: Rows of a window; at most three are in memory, one of them used and one or two taking shape.
        shard: Rank, counted from 0, and number of ranks. A rank's batch is empty where a batch has fewer rows than
            ranks.

    Raises:
        ValueError: If there is no such rank.
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
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        if not 0 <= shard[0] < shard[1]:
            raise ValueError(f"`shard` should be a rank from 0 and the number of ranks. Found `shard = {shard}`.")
        self._rows = pl.scan_parquet(folder / "*.parquet")
        self._spec, self._tasks = spec, tasks
        self._batch_size, self._seed, self._window = batch_size, seed, window
        self._rank, self._ranks = shard
        self._schema = self._rows.collect_schema().names()
        self.rows = int(self._rows.select(pl.len()).collect().item())
        self._held: dict[bool, pl.DataFrame] = {}

    def __len__(self) -> int:
        """Batches an epoch."""
        return sum(map(self._batches_of, self._starts()))

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, shuffled, without the first ones: where an interrupted epoch goes on.

        They have sample weights if a task does.
        """
        generator = np.random.default_rng([self._seed, number])
        starts = generator.permutation(self._starts()).tolist()
        if self._rank:
            # An order of its own: with one for all ranks, the same rows of each would meet in every epoch.
            generator = np.random.default_rng([self._seed, number, self._rank])
        while starts and skip >= self._batches_of(starts[0]):
            generator.permutation(len(self._stretch(starts[0])))  # drawn, so that what follows is drawn alike
            skip -= self._batches_of(starts.pop(0))
        for start, window in self._windows(starts, generator):
            yield from self._parts(start, window, skip)
            skip = 0

    def in_order(self) -> Iterator[Batch]:
        """Every row once, in the order of the files, with its group if the spec has one."""
        for start, window in self._windows(self._starts()):
            yield from self._parts(start, window)

    def _starts(self) -> list[int]:
        return list(range(0, self.rows, self._window))

    def _rows_of(self, start: int) -> int:
        return min(self._window, self.rows - start)

    def _batches_of(self, start: int) -> int:
        return -(-self._rows_of(start) // self._batch_size)

    def _stretch(self, start: int) -> range:
        """The rows of the window that begins at ``start`` which are this rank's."""
        full, last = divmod(self._rows_of(start), self._batch_size)
        both = (self._rank, self._rank + 1)
        first, end = (full * self._before(self._batch_size, rank) + self._before(last, rank) for rank in both)
        return range(start + first, start + end)

    def _before(self, rows: int, rank: int) -> int:
        """How many of a batch's rows the ranks before this one take: even shares, the first ranks one row more."""
        share, rest = divmod(rows, self._ranks)
        return rank * share + min(rank, rest)

    def _parts(self, start: int, window: Window, skip: int = 0) -> Iterator[Batch]:
        """The batches of a window, without the first ones."""
        size = self._before(self._batch_size, self._rank + 1) - self._before(self._batch_size, self._rank)
        for batch in range(skip, self._batches_of(start)):
            yield window.batch(batch * size, min(batch * size + size, len(window)))

    def _windows(
        self, starts: Sequence[int], generator: np.random.Generator | None = None
    ) -> Iterator[tuple[int, Window]]:
        """The windows that begin at these rows, each read, and perhaps shuffled, while the one before it is used."""
        return zip(starts, ahead(partial(self._load, start, generator) for start in starts), strict=True)

    def _load(self, start: int, generator: np.random.Generator | None) -> Window:
        """One window, its rows in the order that its batches take them."""
        frame = self._read(start, in_order=generator is None)
        if generator is not None:
            # By Polars, on every core and lists with their rows, so that a batch is a slice.
            frame = frame[generator.permutation(frame.height)]
        return Window.of(frame, self._spec, self._tasks)

    def _read(self, start: int, *, in_order: bool) -> pl.DataFrame:
        """The rows of one window; those of a split that has no other are kept, and read once."""
        if in_order in self._held:
            return self._held[in_order]
        rows = self._stretch(start)
        # In one piece: picking rows out of several takes five times as long.
        frame = self._rows.select(self._columns(in_order)).slice(rows.start, len(rows)).collect().rechunk()
        if self.rows <= self._window:
            self._held[in_order] = frame
        return frame

    def _columns(self, in_order: bool) -> list[str]:
        """What is read: every feature, and of what stands beside them the labels wanted and what their use needs."""
        beside = {LABEL + task for task in self._tasks}
        beside |= {GROUP} if in_order else {SAMPLE_WEIGHT + task for task in self._tasks}
        return [name for name in self._schema if name.startswith((ID, WEIGHT, VALUE)) or name in beside]
