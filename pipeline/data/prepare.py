"""Prepares data from raw Parquet: splits, fits on training rows only, encodes and writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock

from features.encoder import LABEL, Encoder
from features.errors import InputError
from features.fitting import Fitter, Learnt
from pipeline.config.run import RunConfig
from pipeline.config.split import SPLITS
from pipeline.data import incremental, moments
from pipeline.data.chunks import DONE, Chunk, Reading, count_chunk, encode_chunk, split_into_chunks
from pipeline.data.incremental import Base
from pipeline.data.prepared import ENCODER, MANIFEST, PENDING, Prepared
from pipeline.files import parquet
from pipeline.files.atomic import atomic, fingerprint, remove_drafts
from pipeline.files.content import digest
from pipeline.files.table import Table
from pipeline.runtime.executor import LOCAL_EXECUTOR, Executor
from pipeline.runtime.versions import data_versions
from pipeline.validation import leakage, raw_data
from pipeline.validation.findings import Findings


def prepare(config: RunConfig, executor: Executor = LOCAL_EXECUTOR) -> Prepared:
    """Prepare the data of a config, or find it complete.

    Args:
        config: The data, its split, features, tasks and contract.
        executor: Executor that reads, checks, counts and encodes; every executor writes the same bytes.

    Raises:
        InputError: If files are missing, or columns or values do not fit the config (all problems at once), or features
            leak a label, or a split is empty or has a single class of some task. Nothing is written then.
    """
    return Preparation.of(config, executor).prepared()


@dataclass(frozen=True)
class Preparation:
    """Raw files on their way to prepared data: found complete, or examined, fitted, encoded and written.

    Args:
        config: The data, its split, features, tasks and contract.
        executor: Executor that reads, checks, counts and encodes.
        sources: The raw files of each role.
        digests: SHA-256 of each of them.
    """

    config: RunConfig
    executor: Executor
    sources: dict[str, Table]
    digests: dict[str, list[str]]

    @classmethod
    def of(cls, config: RunConfig, executor: Executor = LOCAL_EXECUTOR) -> Preparation:
        """Find and hash the raw files of a config.

        Raises:
            InputError: If there are none.
        """
        sources = raw_data.find_raw_files(config)
        config.data.prepared.mkdir(parents=True, exist_ok=True)
        executor.check_access([path for table in sources.values() for path in table.files], config.data.prepared)
        digests = {role: list(executor.map(digest, table.files, threads=2)) for role, table in sources.items()}
        return cls(config, executor, sources, digests)

    def find(self) -> Prepared | None:
        """The data, if it is complete."""
        if self.config.data.grow:
            return incremental.find_same(self.config, self._inputs)
        new = Base(None, by_time=False)
        found = (Prepared.find(self._folder(new, number)) for number in incremental.FORMATS)
        return next((prepared for prepared in found if prepared is not None), None)

    def examine(self, newest: date | None = None) -> Findings:
        """Check the raw files against the contract.

        Args:
            newest: As for :func:`pipeline.validation.raw_data.examine_raw_data`.
        """
        return raw_data.examine_raw_data(self.config, self.sources, self.executor, newest)

    def prepared(self, findings: Findings | None = None) -> Prepared:
        """The data: found complete, or written now.

        Args:
            findings: The findings of :meth:`examine`, if it was already called.

        Raises:
            InputError: As for :func:`prepare`.
        """
        with FileLock(self.config.data.prepared / ".lock"):
            if (done := self.find()) is not None:
                return done
            (self.examine() if findings is None else findings).check()
            config = self._with_moments()
            leakage.check_leakage(config, self.sources["train"].files)
            found = incremental.find_base(config, self._inputs) if config.data.grow else None
            base = Base(found, by_time=config.split.time is not None)
            writer = _Writer(config, self.executor, self.sources, self.digests, base)
            return writer.write(self._inputs | base.inputs, self._folder(base))

    def _with_moments(self) -> RunConfig:
        """The config, with moments in place of shares of a split by time."""
        split = moments.with_moments(self.config.split, self.sources["train"].files, self.executor)
        return self.config.model_copy(update={"split": split})

    @cached_property
    def _inputs(self) -> dict[str, Any]:
        """All that the data depends on, except the data that it grows from."""
        return {
            "format": incremental.FORMATS[0],
            # A task's weight changes the training, not the prepared data.
            "spec": self.config.spec.model_dump(mode="json", exclude={"tasks": {"__all__": {"weight"}}}),
            "split": self.config.split.model_dump(mode="json"),
            "sources": self.digests,
        }

    def _folder(self, base: Base, number: int = incremental.FORMATS[0]) -> Path:
        return self.config.data.prepared / fingerprint(self._inputs | {"format": number} | base.inputs)


@dataclass(frozen=True)
class _Writer:
    """Fits, then encodes, a chunk of rows at a time; finished chunks of an interrupted run are found again.

    Args:
        config: The data, its split, features and tasks; a split by time has moments.
        executor: Executor that counts and encodes.
        sources: The raw files of each role.
        digests: SHA-256 of each of them.
        base: The earlier data that the data grows from.
    """

    config: RunConfig
    executor: Executor
    sources: dict[str, Table]
    digests: dict[str, list[str]]
    base: Base

    @property
    def _reading(self) -> Reading:
        return Reading(self.config.spec, self.config.split, holdout=self.config.data.holdout is not None)

    def write(self, inputs: dict[str, Any], folder: Path) -> Prepared:
        """Write the data to its folder; after an interruption it goes on from the draft."""
        draft = folder.with_name(f".{folder.name}.draft")
        remove_drafts(draft)
        (draft / DONE).mkdir(parents=True, exist_ok=True)
        new = list(self._new())
        encoder = self._fitted([chunk for chunk in new if chunk.role == "train"], draft)
        # Two chunks at a time: one is read or written while the other is computed.
        encoded = self.executor.map(partial(encode_chunk, self._reading, encoder, draft), new, threads=2)
        parts = [*(part for written in encoded for part in written), *self._linked(draft)]
        counts = {split: self._counts([draft / p for p in parts if p.startswith(f"{split}/")]) for split in SPLITS}
        try:
            _check_counts(counts, self._fix)
        except InputError:
            shutil.rmtree(draft)
            raise
        shutil.rmtree(draft / DONE)
        parts = sorted([*parts, PENDING, *(f"{ENCODER}/{path.name}" for path in (draft / ENCODER).iterdir())])
        manifest = {
            **inputs,
            **self._moments(inputs["split"]),
            "splits": counts,
            "versions": data_versions(),
            "files": self._files(parts),
            "parts": parts,
        }
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1))
        if folder.exists():
            shutil.rmtree(folder)
        draft.replace(folder)
        return Prepared(folder, manifest)

    def _moments(self, declared: Mapping[str, Any]) -> dict[str, Any]:
        """The beginnings of validation and test that were found; empty if they are declared, or by key."""
        split = self.config.split.model_dump(mode="json")
        found = {part: split[part] for part in ("validation", "test") if split[part] != declared[part]}
        return {"moments": found} if found else {}

    def _fix(self) -> str:
        """The way to give each split rows of both classes."""
        if self.config.split.time is None:
            return "add rows, change the split's shares or seed, or mend the task's expression"
        extent = moments.extent(self.config.split, self.sources["train"].files, self.executor)
        validation, test = self.config.split.moments
        begin = f"validation begins at {validation} and test at {test}"
        return f"{extent}, {begin}: move these two, or mend the task's expression"

    def _each_file(self) -> Iterator[tuple[str, Path, str, str]]:
        """Role, path and digest of every raw file, and the beginning of the names of its parts."""
        for role, table in self.sources.items():
            for number, (path, content) in enumerate(zip(table.files, self.digests[role], strict=True)):
                yield role, path, content, f"part-{role}-{number:05}"

    def _new(self) -> Iterator[Chunk]:
        """The chunks of every raw file without kept parts."""
        for role, path, content, name in self._each_file():
            if self.base.kept(role, content) is None:
                yield from split_into_chunks(role, path, name)

    def _fitted(self, new: list[Chunk], draft: Path) -> Encoder:
        """The encoder of the training rows, fitted unless an interrupted run has done so."""
        if not (draft / ENCODER).exists():
            fitter = self._fitter(sum(chunk.rows for chunk in new))
            for part in self.executor.map(partial(count_chunk, self._reading, fitter.counting), new, threads=2):
                if part is not None:
                    fitter.add(part)
            try:
                encoder = fitter.finish()
            except InputError:
                shutil.rmtree(draft)
                raise
            fitter.pending().write_parquet(draft / PENDING)
            with atomic(draft / ENCODER) as folder:
                encoder.save(folder)
        return Encoder.load(draft / ENCODER)

    def _fitter(self, rows: int) -> Fitter:
        schema = parquet.scan_all(self.sources["train"].files).collect_schema()
        before = self.base.prepared
        if before is None:
            return Fitter(self.config.spec, schema, rows)
        return Fitter(self.config.spec, schema, rows, Learnt(before.encoder(), before.pending(), before.rows["train"]))

    def _linked(self, draft: Path) -> Iterator[str]:
        """The kept parts of files, linked under their new names."""
        for role, _, content, name in self._each_file():
            for part in self.base.kept(role, content) or ():
                renamed = f"{part.parent.name}/{name}-{part.name.rpartition('-')[2]}"
                incremental.link(part, draft / renamed)
                yield renamed

    def _files(self, parts: list[str]) -> dict[str, dict[str, list[str]]]:
        """The parts of each raw file, by its role and digest."""
        named: dict[str, list[str]] = {}
        for part in parts:
            named.setdefault(Path(part).name.rpartition("-")[0], []).append(part)
        found: dict[str, dict[str, list[str]]] = {}
        for role, _, content, name in self._each_file():
            found.setdefault(role, {})[content] = named.get(name, [])
        return found

    def _counts(self, parts: list[Path]) -> dict[str, Any]:
        """Rows of a split and, for each task, known labels and positives."""
        if not parts:
            return {"rows": 0, "tasks": {}}
        tasks = list(self.config.spec.tasks)
        labels = parquet.scan_all(parts).select(pl.col(LABEL + t) for t in tasks)
        known = labels.select(pl.all().count()).collect().row(0)
        positives = labels.select(pl.all().cast(pl.Int64).sum()).collect().row(0)
        rows = labels.select(pl.len()).collect().item()
        named = {t: {"known": k, "positives": p} for t, k, p in zip(tasks, known, positives, strict=True)}
        return {"rows": rows, "tasks": named}


class OneClassError(InputError):
    """A split has no rows, or not both classes of every task.

    Args:
        message: Every problem.
        splits: The splits with a problem.
    """

    def __init__(self, message: str, splits: Collection[str]) -> None:
        super().__init__(message)
        self.splits = frozenset(splits)


def _check_counts(counts: dict[str, Any], fix: Callable[[], str]) -> None:
    problems = {split: [*_one_class(split, found)] for split, found in counts.items()}
    if every := [problem for found in problems.values() for problem in found]:
        error = InputError.of(f"every split needs rows, and both classes of every task; {fix()}", every)
        raise OneClassError(str(error), [split for split, found in problems.items() if found])


def _one_class(split: str, found: dict[str, Any]) -> Iterator[str]:
    if not found["rows"]:
        yield f"{split} has no rows"
        return
    for task, n in found["tasks"].items():
        if not 0 < n["positives"] < n["known"]:
            known = f"{n['known']} known labels of {found['rows']} rows"
            yield f"{split}: task `{task}` has {n['positives']} positives among {known}"
