"""Scores Parquet files part by part, in bounded memory; each part is written atomically and exactly once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from pathlib import Path
from typing import Any, Protocol

import polars as pl
from filelock import FileLock

from features.coverage import Coverage
from features.errors import InputError
from pipeline.data.chunks import Chunk, split_into_chunks
from pipeline.data.windows import Window
from pipeline.files import parquet
from pipeline.files.atomic import atomic, remove_drafts
from pipeline.files.content import identity
from pipeline.runtime.prefetch import prefetch
from pipeline.serving.sample.parts import PartSample
from pipeline.serving.scorer import Scorer
from pipeline.serving.source import Source

RECORD = "score.json"
_COUNTS = ".counts"  # folder with the counts of each part, for a command that goes on after an interruption


class ScoringCallback(Protocol):
    """Methods that scoring calls as it progresses."""

    def on_start(self, rows: int, done: int) -> None:
        """Called before the first part with the number of all rows and of those that an earlier command has scored."""

    def on_part(self, rows: int) -> None:
        """Called after each part with its number of rows."""


@dataclass(frozen=True)
class Scoring:
    """Scores of the rows of Parquet files.

    Args:
        scorer: The model.
        source: The rows.
        out: Folder of the parts.
        sample: A sample of the rows of each part that is scored now is given to it; None for no sample.
    """

    scorer: Scorer
    source: Source
    out: Path
    sample: PartSample | None = None

    @classmethod
    def of(
        cls, scorer: Scorer, source: str, out: Path, keep: Sequence[str] | None, sample: PartSample | None = None
    ) -> Scoring:
        """Check every file's columns against the model, before anything is written.

        Args:
            scorer: The model.
            source: Parquet file, folder or glob.
            out: Folder of the parts.
            keep: Columns to write next to the scores, as for :meth:`pipeline.serving.source.Source.of`.
            sample: As for the class.

        Raises:
            InputError: With all problems of all files.
        """
        return cls(scorer, Source.of(scorer, source, out, keep), out, sample)

    def run(self, callback: ScoringCallback, *, overwrite: bool = False) -> dict[str, Any]:
        """Write the missing parts of the scores.

        Args:
            callback: Called for each part.
            overwrite: Whether scores of other rows or of another model are removed first; other files never are.

        Returns:
            A summary, to be printed.

        Raises:
            InputError: If the folder holds something else, or a file cannot be read or scored.
            Timeout: If another command writes to the folder.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        with FileLock(self.out / ".lock", timeout=0):
            remove_drafts(self.out, ".*.draft")
            self._claim(overwrite)
            missing = [chunk for chunk in self._parts if not self._file(chunk).exists()]
            rows, left = (sum(chunk.rows for chunk in some) for some in (self._parts, missing))
            callback.on_start(rows, rows - left)
            for part in prefetch(partial(self._read, chunk) for chunk in missing):
                self._write(part)
                callback.on_part(part.chunk.rows)
            features = self._features()
            self._note(self._identity, complete=True, features=features)
        parts = len(self._parts)
        summary = {"rows": rows, "parts": parts, "found_done": parts - len(missing), "tasks": list(self.scorer.tasks)}
        summary |= {"outputs": list(self.scorer.outputs)} if self.scorer.further else {}
        summary |= {"tables": self.scorer.tables, "features": features}
        left_out = [str(path) for path in self.source.table.left_out]
        return summary | {"left_out": left_out, "widened": list(map(str, self.source.widened))}

    @cached_property
    def _parts(self) -> list[Chunk]:
        return [
            chunk
            for n, path in enumerate(self.source.table.files)
            for chunk in split_into_chunks("score", path, f"part-{n:05}")
        ]

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """Everything that the scores and their division into parts depend on."""
        sources = [identity(path, self.source.partitions) for path in self.source.table.files]
        parts = [[chunk.name, chunk.start, chunk.rows] for chunk in self._parts]
        return {"model": self.scorer.identity, "keep": list(self.source.keep), "sources": sources, "parts": parts}

    def _file(self, chunk: Chunk) -> Path:
        return self.out / f"{chunk.name}.parquet"

    def _claim(self, overwrite: bool) -> None:
        """Make sure that the folder is empty or holds parts of these scores."""
        record = self.out / RECORD
        if not record.exists():
            if any(not path.name.startswith(".") for path in self.out.iterdir()):
                fix = "give another folder, or empty this one"
                raise InputError(f"{self.out} is not empty and has no {RECORD}, so its content is not ours; {fix}")
            self._note(self._identity, complete=False)
            return
        if overwrite:
            # First an identity of no scores: if the command is killed before the last part is removed, the folder is
            # still known as one of scores, and no old part counts as a new one.
            self._note(dict.fromkeys(self._identity), complete=False)
            for path in [*self.out.glob("part-*.parquet"), *self.out.glob(f"{_COUNTS}/*")]:
                path.unlink()
            self._note(self._identity, complete=False)
            return
        fix = "give another folder, or --overwrite to replace the scores in it"
        try:
            found = json.loads(record.read_text())["identity"]
            differing = [name for name, value in self._identity.items() if found[name] != value]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{record} is damaged ({error!r}); {fix}") from error
        if differing:
            what = "its " + ", ".join(f"`{name}`" for name in differing)
            raise InputError(f"{self.out} holds scores of another command: {what} in {RECORD} differ; {fix}")

    def _note(self, identity: Mapping[str, Any], *, complete: bool, features: Mapping[str, Any] | None = None) -> None:
        content = {"complete": complete, "identity": identity} | ({"features": features} if features else {})
        with atomic(self.out / RECORD) as draft:
            draft.write_text(json.dumps(content, indent=1))

    def _features(self) -> dict[str, dict[str, int]]:
        """For each feature the rows whose value is unknown or unseen; parts of versions without counts are left out."""
        paths = (self.out / _COUNTS / f"{chunk.name}.json" for chunk in self._parts)
        counted = [Coverage.model_validate_json(path.read_bytes()) for path in paths if path.exists()]
        return reduce(Coverage.plus, counted, Coverage()).shares()

    def _read(self, chunk: Chunk) -> _Part:
        part = parquet.scan_as(chunk.path, self.source.schema, chunk.start, chunk.rows)
        rows = parquet.collect(chunk.path, part)
        with _naming(chunk):
            raw, encoded = self.scorer.rows.encoded(rows)
            window = Window.of(encoded, self.scorer.encoder.spec, ())
        return _Part(chunk, rows.select(self.source.keep), window, Coverage.of(self.scorer.encoder, raw, encoded))

    def _write(self, part: _Part) -> None:
        with _naming(part.chunk):
            score_NO = self.scorer.probability_NO(part.window)
        scores = pl.from_numpy(score_NO, schema=list(self.scorer.outputs))
        # First the counts: a part that is there has been counted.
        with atomic(self.out / _COUNTS / f"{part.chunk.name}.json") as draft:
            draft.write_text(part.known.model_dump_json())
        with atomic(self._file(part.chunk)) as draft:
            pl.DataFrame([*part.kept, *scores]).write_parquet(draft)
        if self.sample is not None:
            self.sample.take(self.scorer, part.window, score_NO)


@dataclass(frozen=True)
class _Part:
    """Rows that are read and encoded, but not scored yet.

    Args:
        chunk: The rows.
        kept: The columns to write next to the scores.
        window: The encoded rows.
        known: Counts of the rows' known values.
    """

    chunk: Chunk
    kept: pl.DataFrame
    window: Window
    known: Coverage


@contextmanager
def _naming(chunk: Chunk) -> Iterator[None]:
    """Add file and rows to an error in scoring them."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{chunk.path}, rows from {chunk.start} on: {error}") from error
