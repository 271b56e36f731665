"""Raw Parquet to prepared data: split, fit on training rows only, encode, write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock

from features.contract import InputError
from features.encoder import LABEL, Encoder
from features.fitting import Fitter, Learnt
from pipeline import growth, leaks, parquet, rawdata
from pipeline.ahead import ahead
from pipeline.config import RunConfig
from pipeline.files import atomic, fingerprint, sha256_file, sweep
from pipeline.growth import Base
from pipeline.prepared import ENCODER, MANIFEST, PENDING, Prepared
from pipeline.split import SPLITS

_DONE = ".done"
_CHUNK = 250_000  # raw rows in memory at a time
# A change of what prepared folders hold, for equal inputs, raises this number: old folders are then not found.
_FORMAT = 4


def prepare(config: RunConfig) -> Prepared:
    """Prepare the data that a config describes, or find it done.

    Raises:
        InputError: If files are missing, or columns or values do not fit the config (all problems at once), or features
            know a label, or a split is empty or holds a single class of some task. Nothing is written then.
    """
    sources = rawdata.find(config)
    digests = {role: list(ahead((partial(sha256_file, path) for path in paths), 2)) for role, paths in sources.items()}
    inputs = {
        "format": _FORMAT,
        # A task's weight changes what is trained, not what is prepared.
        "spec": config.spec.model_dump(mode="json", exclude={"tasks": {"__all__": {"weight"}}}),
        "split": config.split.model_dump(mode="json"),
        "sources": digests,
    }
    config.data.prepared.mkdir(parents=True, exist_ok=True)
    with FileLock(config.data.prepared / ".lock"):
        found = growth.find(config, inputs) if config.data.grow else None
        if found is not None and growth.is_same(found, inputs):
            return found
        base = growth.Base(found, by_time=config.split.time is not None)
        inputs |= base.inputs
        folder = config.data.prepared / fingerprint(inputs)
        if (done := Prepared.find(folder)) is not None:
            return done
        rawdata.check(config, sources)
        leaks.check(config, sources["train"])
        return _Preparation(config, sources, digests, base).write(inputs, folder)


@dataclass(frozen=True)
class _Preparation:
    """Fit, then encode, a chunk of rows at a time; what an interrupted run has done is kept and found again.

    Args:
        config: What to prepare.
        sources: The raw files of each role.
        digests: Of their content.
        base: What is taken over from earlier data.
    """

    config: RunConfig
    sources: dict[str, list[Path]]
    digests: dict[str, list[str]]
    base: Base

    def write(self, inputs: dict[str, Any], folder: Path) -> Prepared:
        draft = folder.with_name(f".{folder.name}.draft")
        sweep(draft)
        (draft / _DONE).mkdir(parents=True, exist_ok=True)
        encoder = self._fitted(draft)
        for _ in ahead(self._jobs(encoder, draft), threads=2):  # one reads or writes while the other computes
            pass
        counts = {name: _counts(draft / name, list(self.config.spec.tasks)) for name in SPLITS}
        try:
            _check_counts(counts)
        except InputError:
            shutil.rmtree(draft)
            raise
        shutil.rmtree(draft / _DONE)
        versions = {package: version(package) for package in ("polars", "polars-hash", "gradops")}
        parts = sorted(str(path.relative_to(draft)) for path in draft.rglob("*.*"))
        manifest = {**inputs, "splits": counts, "versions": versions, "files": self._files(parts), "parts": parts}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1))
        if folder.exists():
            shutil.rmtree(folder)
        draft.replace(folder)
        return Prepared(folder, manifest)

    def _each_file(self) -> Iterator[tuple[str, Path, str, str]]:
        """Role, path and digest of every raw file, and what the names of its parts begin with."""
        for role, paths in self.sources.items():
            for number, (path, digest) in enumerate(zip(paths, self.digests[role], strict=True)):
                yield role, path, digest, f"part-{role}-{number:05}-"

    def _fitted(self, draft: Path) -> Encoder:
        """The encoder of the training rows, fitted unless an interrupted run has done so."""
        if not (draft / ENCODER).exists():
            files = [
                (path, self.base.kept(role, digest)) for role, path, digest, _ in self._each_file() if role == "train"
            ]
            new = [path for path, kept in files if kept is None]
            fitter = self._fitter(sum(map(parquet.height, new)))
            for rows in ahead(read for path in new for read in _chunks(self.config, path)):
                if (trained := _split(self.config, "train", rows).get("train")) is not None:
                    fitter.update(trained)
            fitter.pending().write_parquet(draft / PENDING)
            with atomic(draft / ENCODER) as folder:
                fitter.finish().save(folder)
        return Encoder.load(draft / ENCODER)

    def _fitter(self, rows: int) -> Fitter:
        schema = pl.scan_parquet(self.sources["train"]).collect_schema()
        before = self.base.prepared
        if before is None:
            return Fitter(self.config.spec, schema, rows)
        return Fitter(self.config.spec, schema, rows, Learnt(before.encoder(), before.pending(), before.rows["train"]))

    def _jobs(self, encoder: Encoder, draft: Path) -> Iterator[Callable[[], None]]:
        """What is to be done for the parts of each file: to encode a chunk, or to link what is kept."""
        for role, path, digest, name in self._each_file():
            kept = self.base.kept(role, digest)
            if kept is None:
                for place, read in enumerate(_chunks(self.config, path)):
                    yield partial(_encode_chunk, self.config, encoder, role, read, draft, f"{name}{place:04}")
            else:
                for part in kept:
                    renamed = name + part.name.rpartition("-")[2]
                    yield partial(growth.link, part, draft / part.parent.name / renamed)

    def _files(self, parts: list[str]) -> dict[str, dict[str, list[str]]]:
        """The parts of each raw file, by its role and digest."""
        found: dict[str, dict[str, list[str]]] = {}
        for role, _, digest, name in self._each_file():
            found.setdefault(role, {})[digest] = [p for p in parts if Path(p).name.startswith(name)]
        return found


def _chunks(config: RunConfig, path: Path) -> Iterator[Callable[[], pl.DataFrame]]:
    """Readings of what is needed of the rows of a raw file, so many at a time that they fit in memory."""
    rows = parquet.scan(path).select(sorted({config.split.column, *config.spec.sources}))
    starts = range(0, parquet.height(path), _CHUNK)
    return (partial(parquet.read, path, rows.slice(start, _CHUNK)) for start in starts)


def _encode_chunk(
    config: RunConfig, encoder: Encoder, role: str, read: Callable[[], pl.DataFrame], draft: Path, name: str
) -> None:
    """Encode some rows and write what each split has of them, unless an interrupted run has done so."""
    if (draft / _DONE / name).exists():
        return
    for split, frame in _split(config, role, read()).items():
        target = draft / split / f"{name}.parquet"
        with atomic(target) as file:
            # In memory: in streaming each of many small pieces would build the map of a vocabulary again. No two
            # columns share an expression worth finding.
            plan = pl.QueryOptFlags(comm_subexpr_elim=False)
            encoded = encoder.encode(frame.lazy()).collect(engine="in-memory", optimizations=plan)
            encoded.write_parquet(file, row_group_size=65_536, compression="lz4", statistics=False)
    (draft / _DONE / name).touch()


def _split(config: RunConfig, role: str, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Which rows of a file are trained on, validated on and tested on; a split without any is left out."""
    if config.data.holdout and role == "train":
        found = {"train": rows}
    else:
        sides = rows.select(config.split.sides(holdout=config.data.holdout is not None)).to_series()
        found = {name: rows.filter(sides == name) for name in SPLITS}
    return {name: frame for name, frame in found.items() if frame.height}


def _counts(folder: Path, tasks: list[str]) -> dict[str, Any]:
    """Rows of a split and, for each task, known labels and positives."""
    if not folder.exists():
        return {"rows": 0, "tasks": {}}
    labels = pl.scan_parquet(folder / "*.parquet").select(pl.col(LABEL + t) for t in tasks)
    known = labels.select(pl.all().count()).collect().row(0)
    positives = labels.select(pl.all().cast(pl.Int64).sum()).collect().row(0)
    rows = labels.select(pl.len()).collect().item()
    named = {t: {"known": k, "positives": p} for t, k, p in zip(tasks, known, positives, strict=True)}
    return {"rows": rows, "tasks": named}


def _check_counts(counts: dict[str, Any]) -> None:
    problems = [f"{split} has no rows" for split, found in counts.items() if not found["rows"]]
    problems += [
        f"{split}: task `{task}` has {n['positives']} positives among {n['known']} known labels of {found['rows']} rows"
        for split, found in counts.items()
        for task, n in found["tasks"].items()
        if found["rows"] and not 0 < n["positives"] < n["known"]
    ]
    if problems:
        fix = "add rows, change the split's shares or seed, or mend the task's expression"
        raise InputError.of(f"every split needs rows, and both classes of every task; {fix}", problems)
