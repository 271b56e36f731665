"""Chunks of raw files, each counted for the fit and encoded independently, in any process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from features.counting import Counting, FrameCounts
from features.encoder import Encoder
from features.spec import FeatureSpec
from pipeline.config.split import SPLITS, SplitConfig
from pipeline.files import parquet
from pipeline.files.atomic import atomic

DONE = ".done"
CHUNK_ROWS = 250_000  # raw rows in memory at a time


@dataclass(frozen=True)
class Reading:
    """The settings for reading raw rows, small enough to be sent with every piece of work.

    Args:
        spec: Declares the columns.
        split: Assigns rows to training, validation and test.
        holdout: Whether validation and test have files of their own.
        metadata: Columns to read in addition to those of the spec.
    """

    spec: FeatureSpec
    split: SplitConfig
    holdout: bool
    metadata: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chunk:
    """Neighbouring rows of a raw file.

    Args:
        role: The role of the file.
        path: The file.
        start: Number of the first row.
        rows: Number of rows.
        name: Name of the parts with the encoded rows.
    """

    role: str
    path: Path
    start: int
    rows: int
    name: str

    def read(self, reading: Reading) -> dict[str, pl.DataFrame]:
        """The rows with the needed columns, by split; splits without rows are left out."""
        columns = sorted({reading.split.column, *reading.spec.sources, *reading.metadata})
        rows = parquet.collect(self.path, parquet.scan(self.path).select(columns).slice(self.start, self.rows))
        if reading.holdout and self.role == "train":
            found = {"train": rows}
        else:
            split_N = rows.select(reading.split.split_of(rows.schema, holdout=reading.holdout)).to_series()
            found = {name: rows.filter(split_N == name) for name in SPLITS}
        return {name: frame for name, frame in found.items() if frame.height}


def split_into_chunks(role: str, path: Path, name: str) -> Iterator[Chunk]:
    """The chunks of a raw file, which cover all its rows.

    Args:
        role: The role of the file.
        path: The file.
        name: Beginning of the names of its parts.
    """
    height = parquet.count_rows(path)
    for place, start in enumerate(range(0, height, CHUNK_ROWS)):
        yield Chunk(role, path, start, min(CHUNK_ROWS, height - start), f"{name}-{place:04}")


def count_chunk(reading: Reading, counting: Counting, chunk: Chunk) -> FrameCounts | None:
    """Count a chunk's training rows, for the fit; None if it has none."""
    trained = chunk.read(reading).get("train")
    return None if trained is None else counting.part(trained)


def encode_chunk(reading: Reading, encoder: Encoder, draft: Path, chunk: Chunk) -> list[str]:
    """Encode a chunk and write a part for each split, unless an interrupted run has done so.

    Returns:
        The parts, as paths within the draft. Another machine may not see them in a folder's listing yet.
    """
    done = draft / DONE / chunk.name
    if not done.exists():
        for split, frame in chunk.read(reading).items():
            with atomic(draft / split / f"{chunk.name}.parquet") as file:
                # In memory: streaming would rebuild a vocabulary's map for each small piece. Columns share no costly
                # expression.
                plan = pl.QueryOptFlags(comm_subexpr_elim=False)
                encoded = encoder.encode(frame.lazy()).collect(engine="in-memory", optimizations=plan)
                encoded.write_parquet(file, row_group_size=65_536, compression="lz4", statistics=False)
        done.touch()
    return [part for split in SPLITS if (draft / (part := f"{split}/{chunk.name}.parquet")).exists()]
