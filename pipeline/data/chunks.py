"""Chunks of raw files, each counted for the fit and encoded independently, in any process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from pydantic import BaseModel

from features.counting import Counting, FrameCounts
from features.coverage import Coverage
from features.encoder import Encoder
from features.spec import FeatureSpec
from pipeline.config.split import SPLITS, SplitConfig
from pipeline.files import parquet
from pipeline.files.atomic import atomic
from pipeline.validation.layout import Layout

DONE = ".done"
CHUNK_ROWS = 250_000  # raw rows in memory at a time


@dataclass(frozen=True)
class Reading:
    """The settings for reading raw rows, small enough to be sent with every piece of work.

    Args:
        spec: Declares the columns.
        split: Assigns rows to training, validation and test.
        holdout: Whether validation and test have files of their own.
        schemas: Role to the columns to read, in the types that all its files are read as.
    """

    spec: FeatureSpec
    split: SplitConfig
    holdout: bool
    schemas: Mapping[str, pl.Schema]

    @classmethod
    def of(cls, spec: FeatureSpec, split: SplitConfig, layout: Layout, beside: Sequence[str] = ()) -> Reading:
        """The settings for files of a layout.

        Args:
            spec: Declares the columns.
            split: Assigns rows to training, validation and test.
            layout: The layout of the files.
            beside: Columns to read in addition to those of the spec.
        """
        columns = sorted({split.column, *spec.sources, *beside})
        schemas = {role: pl.Schema({c: schema[c] for c in columns}) for role, schema in layout.schemas.items()}
        return cls(spec, split, holdout="holdout" in schemas, schemas=schemas)


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

    @property
    def file(self) -> str:
        """The beginning of its name, which all chunks of its file share."""
        return self.name.rpartition("-")[0]

    def part(self, split: str) -> str:
        """The part with its rows of a split, as a path within the draft."""
        return f"{split}/{self.name}.parquet"

    def read(self, reading: Reading) -> dict[str, pl.DataFrame]:
        """The rows with the needed columns, by split; splits without rows are left out."""
        part = parquet.scan_as(self.path, reading.schemas[self.role], self.start, self.rows)
        rows = parquet.collect(self.path, part)
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


@dataclass(frozen=True)
class EncodedChunk:
    """The result of encoding a chunk.

    Args:
        parts: The parts, as paths within the draft. Another machine may not see them in a folder's listing yet.
        coverage: Split to the counts of the chunk's known values.
    """

    parts: list[str]
    coverage: dict[str, Coverage]


class _Done(BaseModel):
    """The file that marks a chunk as done."""

    coverage: dict[str, Coverage]


def encode_chunk(reading: Reading, encoder: Encoder, draft: Path, chunk: Chunk) -> EncodedChunk:
    """Encode a chunk and write a part for each split, unless an interrupted run has done so."""
    mark = draft / DONE / chunk.name
    found = _found(mark)
    if found is None:
        found = {
            split: _encode(encoder, frame, draft / chunk.part(split)) for split, frame in chunk.read(reading).items()
        }
        with atomic(mark) as file:
            file.write_text(_Done(coverage=found).model_dump_json())
    return EncodedChunk([chunk.part(split) for split in SPLITS if split in found], found)


def _found(mark: Path) -> dict[str, Coverage] | None:
    """The counts of a chunk that is done; None for any other, or one of a version without counts."""
    if not mark.exists() or not (content := mark.read_text()):
        return None
    return _Done.model_validate_json(content).coverage


def _encode(encoder: Encoder, frame: pl.DataFrame, part: Path) -> Coverage:
    """Encode rows, write them, and count their known values."""
    # In memory: streaming would rebuild a vocabulary's map for each small piece. Columns share no costly expression.
    plan = pl.QueryOptFlags(comm_subexpr_elim=False)
    encoded = encoder.encode(frame.lazy()).collect(engine="in-memory", optimizations=plan)
    with atomic(part) as file:
        encoded.write_parquet(file, row_group_size=65_536, compression="lz4", statistics=False)
    return Coverage.of(encoder, frame, encoded)
