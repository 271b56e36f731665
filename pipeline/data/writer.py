"""Writes prepared data: fits on training rows, encodes a chunk at a time, and goes on after an interruption."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from features.coverage import Coverage
from features.encoder import Encoder
from features.errors import InputError
from features.fitting import Fitter, Learnt
from pipeline.config.run import RunConfig
from pipeline.config.split import SPLITS
from pipeline.data import incremental, moments
from pipeline.data.chunks import DONE, Chunk, Reading, count_chunk, encode_chunk, split_into_chunks
from pipeline.data.counts import (
    Counts,
    OneClassError,
    check_known,
    count_labels,
    feature_counts,
    one_class_problems,
)
from pipeline.data.file_coverage import FileCoverage
from pipeline.data.incremental import Base
from pipeline.data.prepared import ENCODER, MANIFEST, PENDING, Prepared
from pipeline.files.atomic import atomic, remove_drafts
from pipeline.files.table import Table
from pipeline.runtime.executor import Executor
from pipeline.runtime.versions import data_versions
from pipeline.validation.layout import Layout


@dataclass(frozen=True)
class Writer:
    """Fits, then encodes, a chunk of rows at a time; finished chunks of an interrupted run are found again.

    Args:
        config: The data, its split, features and tasks; a split by time has moments.
        executor: Executor that counts and encodes.
        sources: The raw files of each role.
        digests: SHA-256 of each of them, with the values of its partitions if there are any.
        base: The earlier data that the data grows from.
        layout: The columns and types that the files are read as.
    """

    config: RunConfig
    executor: Executor
    sources: dict[str, Table]
    digests: dict[str, list[str]]
    base: Base
    layout: Layout

    @property
    def _reading(self) -> Reading:
        return Reading.of(self.config.spec, self.config.split, self.layout)

    def write(self, inputs: dict[str, Any], notes: dict[str, Any], folder: Path) -> Prepared:
        """Write the data to its folder; after an interruption it goes on from the draft.

        Args:
            inputs: All that the data depends on.
            notes: Further content of the manifest.
            folder: The folder.
        """
        draft = folder.with_name(f".{folder.name}.draft")
        remove_drafts(draft)
        (draft / DONE).mkdir(parents=True, exist_ok=True)
        new = list(self._new())
        encoder = self._fitted([chunk for chunk in new if chunk.role == "train"], draft)
        # Two chunks at a time: one is read or written while the other is computed.
        encoded = self.executor.map(partial(encode_chunk, self._reading, encoder, draft), new, threads=2)
        parts, known = self._linked(draft)
        contents = {name: (role, content) for role, _, content, name in self._each_file()}
        for chunk, written in zip(new, encoded, strict=True):
            parts += written.parts
            known.add(*contents[chunk.file], written.coverage)
        counts = {split: self._labels(draft, parts, split) for split in SPLITS}
        try:
            self._check(counts, known.of_split("train"))
        except InputError:
            shutil.rmtree(draft)
            raise
        return self._finished(inputs | notes, draft, folder, parts, counts, known)

    def _finished(
        self, inputs: dict[str, Any], draft: Path, folder: Path, parts: list[str], counts: Counts, known: FileCoverage
    ) -> Prepared:
        """The draft with its manifest, as the finished folder."""
        shutil.rmtree(draft / DONE)
        known.save(draft)
        parts = sorted([*parts, PENDING, *(f"{ENCODER}/{path.name}" for path in (draft / ENCODER).iterdir())])
        manifest = {
            **inputs,
            **self._moments(inputs["split"]),
            "splits": counts,
            "features": feature_counts({split: known.of_split(split) for split in SPLITS}),
            "versions": data_versions(),
            "files": self._files(parts),
            "parts": parts,
        }
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1))
        Prepared(draft, manifest).note_contract(self.config.contract)
        if folder.exists():
            shutil.rmtree(folder)
        draft.replace(folder)
        return Prepared(folder, manifest)

    def _labels(self, draft: Path, parts: list[str], split: str) -> dict[str, Any]:
        return count_labels(
            [draft / part for part in parts if part.startswith(f"{split}/")], list(self.config.spec.tasks)
        )

    def _check(self, counts: Counts, trained: Coverage) -> None:
        if problems := one_class_problems(counts):
            rule = f"every split needs rows, and both classes of every task; {self._fix()}"
            error = InputError.of(rule, [problem for found in problems.values() for problem in found])
            raise OneClassError(str(error), problems)
        check_known(trained, counts["train"]["rows"], self.config.contract.unknown_allowed)

    def _moments(self, declared: Mapping[str, Any]) -> dict[str, Any]:
        """The beginnings of validation and test that were found; empty if they are declared, or by key."""
        split = self.config.split.model_dump(mode="json")
        found = {part: split[part] for part in ("validation", "test") if split[part] != declared[part]}
        return {"moments": found} if found else {}

    def _fix(self) -> str:
        """The way to give each split rows of both classes."""
        if self.config.split.time is None:
            return "add rows, change the split's shares or seed, or mend the task's expression"
        split, files = self.config.split, self.sources["train"].files
        extent = moments.extent(split, self.layout.schemas["train"][split.column], files, self.executor)
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
        schema = self.layout.schemas["train"]
        before = self.base.prepared
        if before is None:
            return Fitter(self.config.spec, schema, rows)
        return Fitter(self.config.spec, schema, rows, Learnt(before.encoder(), before.pending(), before.rows["train"]))

    def _linked(self, draft: Path) -> tuple[list[str], FileCoverage]:
        """The kept parts of files, linked under their new names, and the counts of their rows."""
        before = None if self.base.prepared is None else FileCoverage.load(self.base.prepared.folder)
        parts, known = [], FileCoverage()
        for role, _, content, name in self._each_file():
            kept = self.base.kept(role, content)
            if kept is None or before is None:
                continue
            known.add(role, content, before.of_file(role, content))
            for part in kept:
                renamed = f"{part.parent.name}/{name}-{part.name.rpartition('-')[2]}"
                incremental.link(part, draft / renamed)
                parts.append(renamed)
        return parts, known

    def _files(self, parts: list[str]) -> dict[str, dict[str, list[str]]]:
        """The parts of each raw file, by its role and digest."""
        named: dict[str, list[str]] = {}
        for part in parts:
            named.setdefault(Path(part).name.rpartition("-")[0], []).append(part)
        found: dict[str, dict[str, list[str]]] = {}
        for role, _, content, name in self._each_file():
            found.setdefault(role, {})[content] = named.get(name, [])
        return found
