"""Raw Parquet to prepared data: split, fit on training rows only, encode, write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock

from features.contract import InputError
from features.encoder import LABEL, Encoder
from features.fitting import Fitter
from pipeline import rawdata
from pipeline.ahead import ahead
from pipeline.config import RunConfig
from pipeline.files import atomic, fingerprint, sha256_file, sweep
from pipeline.split import SPLITS

_MANIFEST, _DONE = "manifest.json", ".done"
_CHUNK = 250_000  # raw rows in memory at a time
# A change of what prepared folders hold, for equal inputs, raises this number: old folders are then not found.
_FORMAT = 3


@dataclass(frozen=True)
class Prepared:
    """A complete folder of prepared data.

    Args:
        folder: ``{train,val,test}/part-*.parquet``, ``encoder/`` and ``manifest.json``.
        manifest: What it was made from and what is in it.
    """

    folder: Path
    manifest: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Equal inputs, equal fingerprint."""
        return self.folder.name

    def encoder(self) -> Encoder:
        """The encoder that was fitted on its training rows."""
        return Encoder.load(self.folder / "encoder")


def prepare(config: RunConfig) -> Prepared:
    """Prepare the data that a config describes, or find it done.

    Raises:
        InputError: If files are missing, or columns do not fit the spec (all problems at once), or a split is empty or
            holds a single class of some task. Nothing is written then.
    """
    sources = rawdata.find(config)
    inputs = {
        "format": _FORMAT,
        "spec": config.spec.model_dump(mode="json"),
        "split": config.split.model_dump(mode="json"),
        "sources": {role: [sha256_file(p) for p in paths] for role, paths in sources.items()},
    }
    folder = config.data.prepared / fingerprint(inputs)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / ".lock"):
        if not _is_complete(folder):
            _write(config, sources, inputs, folder)
    return Prepared(folder, json.loads((folder / _MANIFEST).read_text()))


def _is_complete(folder: Path) -> bool:
    """Whether a folder has its manifest and every file that it names."""
    if not (folder / _MANIFEST).exists():
        return False
    return all((folder / part).exists() for part in json.loads((folder / _MANIFEST).read_text())["parts"])


def _write(config: RunConfig, sources: dict[str, list[Path]], inputs: dict[str, Any], folder: Path) -> None:
    """Fit, then encode, a chunk of rows at a time; what an interrupted run has done is kept and found again."""
    draft = folder.with_name(f".{folder.name}.draft")
    sweep(draft)
    encoder = _fitted(config, sources, draft / "encoder")
    jobs = (
        partial(_encode_chunk, config, encoder, role, rows, draft, f"part-{role}-{number:05}-{place:04}")
        for role, paths in sources.items()
        for number, path in enumerate(paths)
        for place, rows in enumerate(_chunks(config, path))
    )
    for _ in ahead(jobs, threads=2):  # one reads or writes while the other computes
        pass
    counts = {name: _counts(draft / name, list(config.spec.tasks)) for name in SPLITS}
    try:
        _check_counts(counts)
    except InputError:
        shutil.rmtree(draft)
        raise
    shutil.rmtree(draft / _DONE)
    versions = {package: version(package) for package in ("polars", "polars-hash", "gradops")}
    parts = sorted(str(path.relative_to(draft)) for path in draft.rglob("*.*"))
    manifest = {**inputs, "splits": counts, "versions": versions, "parts": parts}
    (draft / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    if folder.exists():
        shutil.rmtree(folder)
    draft.replace(folder)


def _chunks(config: RunConfig, path: Path) -> Iterator[pl.LazyFrame]:
    """What is needed of the rows of a raw file, so many at a time that they fit in memory."""
    spec = config.spec
    columns = {config.split.column, *(c for name in spec.features for c in spec.columns(name))}
    rows = pl.scan_parquet(path).select(sorted(columns.union(*(task.sources for task in spec.tasks.values()))))
    return (rows.slice(start, _CHUNK) for start in range(0, _height(path), _CHUNK))


def _fitted(config: RunConfig, sources: dict[str, list[Path]], folder: Path) -> Encoder:
    """The encoder of the training rows, fitted unless an interrupted run has done so."""
    if not folder.exists():
        train = sources["train"]
        schema = pl.scan_parquet(train).collect_schema()
        fitter = Fitter(config.spec, schema, sum(_height(path) for path in train))
        chunks = (rows.collect for path in train for rows in _chunks(config, path))
        for rows in ahead(chunks):
            if (trained := _split(config, "train", rows).get("train")) is not None:
                fitter.update(trained)
        with atomic(folder) as draft:
            fitter.finish().save(draft)
    return Encoder.load(folder)


def _height(path: Path) -> int:
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())


def _encode_chunk(config: RunConfig, encoder: Encoder, role: str, rows: pl.LazyFrame, draft: Path, name: str) -> None:
    """Encode some rows and write what each split has of them, unless an interrupted run has done so."""
    if (draft / _DONE / name).exists():
        return
    for split, frame in _split(config, role, rows.collect()).items():
        target = draft / split / f"{name}.parquet"
        with atomic(target) as file:
            # In memory: in streaming each of many small pieces would build the map of a vocabulary again. No two
            # columns share an expression worth finding.
            plan = pl.QueryOptFlags(comm_subexpr_elim=False)
            encoded = encoder.encode(frame.lazy()).collect(engine="in-memory", optimizations=plan)
            encoded.write_parquet(file, row_group_size=65_536, compression="lz4", statistics=False)
    (draft / _DONE).mkdir(exist_ok=True)
    (draft / _DONE / name).touch()


def _split(config: RunConfig, role: str, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Which rows of a file are trained on, validated on and tested on; a split without any is left out."""
    if config.data.holdout and role == "train":
        found = {"train": rows}
    else:
        sides = rows.select(config.split.sides(holdout=config.data.holdout is not None)).to_series()
        if unknown := sides.null_count():
            raise InputError(
                f"`{config.split.column}` decides the split and is null in {unknown} rows; drop or mend them"
            )
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
