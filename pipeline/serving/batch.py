"""Parquet in, scores out: part by part in bounded memory, each written whole or not at all, none of them twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import polars as pl
from filelock import FileLock

from features.errors import InputError
from pipeline.data.chunks import Chunk, split_into_chunks
from pipeline.data.windows import Window
from pipeline.files import parquet
from pipeline.files.atomic import atomic, remove_drafts, sha256_file
from pipeline.runtime.prefetch import prefetch
from pipeline.serving.scorer import Scorer

RECORD = "score.json"


class ScoringCallback(Protocol):
    """Is told how far the scores are."""

    def on_start(self, rows: int, done: int) -> None:
        """Before the first part: so many rows there are, and so many an interrupted command has scored."""

    def on_part(self, rows: int) -> None:
        """A part is written."""


@dataclass(frozen=True)
class Scoring:
    """Scores of the rows of Parquet files.

    Args:
        scorer: Scores them.
        sources: The files.
        keep: Columns that are written beside the scores.
        out: Folder of the parts.
    """

    scorer: Scorer
    sources: tuple[Path, ...]
    keep: tuple[str, ...]
    out: Path

    @classmethod
    def of(cls, scorer: Scorer, source: str, out: Path, keep: Sequence[str] | None) -> Scoring:
        """Hold every file's columns against the model, before anything is written.

        Args:
            scorer: The model.
            source: Parquet file, folder or glob.
            out: Folder of the parts.
            keep: Columns to write beside the scores; None for all that the model does not read and that are not called
                as a task is.

        Raises:
            InputError: With all problems of all files.
        """
        paths = tuple(parquet.find_files(source))
        if not paths:
            raise InputError(f"no Parquet file at `{source}` (paths are relative to the folder of the command)")
        found, unreadable = parquet.read_schemas(paths)
        problems = [*unreadable.values()]
        schema, differing = parquet.common_schema(found)
        kept = tuple(keep or ())
        if schema is not None:
            if keep is None:
                kept = tuple(c for c in schema if c not in {*scorer.columns, *scorer.tasks})
            problems += [f"column `{c}` is to be kept and is not there" for c in kept if c not in schema]
            problems += _unfit(scorer, schema)
        problems += [f"column `{c}` is called as a task is; leave it out of --keep" for c in kept if c in scorer.tasks]
        if any(out.resolve() in path.resolve().parents for path in paths):
            problems.append(f"{out} is where rows are read from; give another folder for the scores")
        if problems := [*problems, *differing]:
            raise InputError.of(f"cannot score {source}", problems)
        return cls(scorer, paths, tuple(dict.fromkeys(kept)), out)

    def run(self, callback: ScoringCallback, *, overwrite: bool = False) -> dict[str, Any]:
        """Write what is missing of the scores.

        Args:
            callback: Is told of each part.
            overwrite: Whether scores of other rows or of another model are removed first; never what is not ours.

        Returns:
            What was done, to be printed.

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
            for chunk, kept, window in prefetch(partial(self._read, chunk) for chunk in missing):
                self._write(chunk, kept, window)
                callback.on_part(chunk.rows)
            self._note(self._identity, complete=True)
        parts = len(self._parts)
        return {"rows": rows, "parts": parts, "found_done": parts - len(missing), "tasks": list(self.scorer.tasks)}

    @cached_property
    def _parts(self) -> list[Chunk]:
        return [
            chunk for n, path in enumerate(self.sources) for chunk in split_into_chunks("score", path, f"part-{n:05}")
        ]

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What the scores depend on, and how they are divided."""
        sources = [sha256_file(path) for path in self.sources]
        parts = [[chunk.name, chunk.start, chunk.rows] for chunk in self._parts]
        return {"model": self.scorer.digest, "keep": list(self.keep), "sources": sources, "parts": parts}

    def _file(self, chunk: Chunk) -> Path:
        return self.out / f"{chunk.name}.parquet"

    def _claim(self, overwrite: bool) -> None:
        """Make sure that what is in the folder, if anything is, are parts of these scores."""
        record = self.out / RECORD
        if not record.exists():
            if any(not path.name.startswith(".") for path in self.out.iterdir()):
                fix = "give another folder, or empty this one"
                raise InputError(f"{self.out} is not empty and has no {RECORD}, so its content is not ours; {fix}")
            self._note(self._identity, complete=False)
            return
        if overwrite:
            # Nobody's first: a command that is killed before the last part is gone leaves a folder that is still ours,
            # and in it no part that is taken for the new scores.
            self._note(dict.fromkeys(self._identity), complete=False)
            for path in self.out.glob("part-*.parquet"):
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

    def _note(self, identity: Mapping[str, Any], *, complete: bool) -> None:
        with atomic(self.out / RECORD) as draft:
            draft.write_text(json.dumps({"complete": complete, "identity": identity}, indent=1))

    def _read(self, chunk: Chunk) -> tuple[Chunk, pl.DataFrame, Window]:
        columns = dict.fromkeys([*self.keep, *self.scorer.columns])
        there = [c for c in parquet.scan(chunk.path).collect_schema() if c in columns]
        rows = parquet.collect(chunk.path, parquet.scan(chunk.path).select(there).slice(chunk.start, chunk.rows))
        with _naming(chunk):
            return chunk, rows.select(self.keep), self.scorer.window(rows)

    def _write(self, chunk: Chunk, kept: pl.DataFrame, window: Window) -> None:
        with _naming(chunk):
            scores = self.scorer.probabilities(window)
        with atomic(self._file(chunk)) as draft:
            pl.DataFrame([*kept, *scores]).write_parquet(draft)


def _unfit(scorer: Scorer, schema: pl.Schema) -> list[str]:
    """What a model finds wrong with the columns of files, found by scoring no row of them."""
    try:
        scorer.score(schema.to_frame())
    except InputError as error:
        return [str(error).replace("\n", " ")]
    return []


@contextmanager
def _naming(chunk: Chunk) -> Iterator[None]:
    """Say which rows of which file cannot be scored."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{chunk.path}, rows from {chunk.start} on: {error}") from error
