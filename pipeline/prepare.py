"""Raw Parquet to prepared data: split, fit on training rows only, encode, write."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any

import polars as pl
import polars_hash  # noqa: F401  # registers the `nchash` namespace
from filelock import FileLock

from features.contract import InputError
from features.encoder import LABEL, Encoder
from pipeline import rawdata
from pipeline.config import RunConfig, SplitConfig
from pipeline.files import atomic, fingerprint, sha256_file

SPLITS = ("train", "val", "test")
_MANIFEST, _ROWS = "manifest.json", "part-00000.parquet"
_PARTS = (_MANIFEST, "encoder/encoder.json", "encoder/vocabulary.parquet", *(f"{split}/{_ROWS}" for split in SPLITS))
# A change of what prepared folders hold, for equal inputs, raises this number: old folders are then not found.
_FORMAT = 1


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
        if not all((folder / part).exists() for part in _PARTS):
            _write(config, sources, inputs, folder)
    return Prepared(folder, json.loads((folder / _MANIFEST).read_text()))


def side(split: SplitConfig, shares: dict[str, float]) -> pl.Expr:
    """Which split a row belongs to: xxhash64 of seed and key, as a fraction, against the running sum of the shares.

    The hash is of the key's text and is the same in every version of every library here.
    """
    text = pl.format("{}:{}", pl.lit(split.seed), pl.col(split.key).cast(pl.String).fill_null(""))
    fraction = text.nchash.xxhash64().cast(pl.Float64) / 2.0**64  # type: ignore[attr-defined]  # a plugin's namespace
    *ends, (last, _) = zip(shares, accumulate(shares.values()), strict=True)
    chosen = pl.lit(last)
    for name, end in reversed(ends):
        chosen = pl.when(fraction < end).then(pl.lit(name)).otherwise(chosen)
    return chosen


def _write(config: RunConfig, sources: dict[str, list[Path]], inputs: dict[str, Any], folder: Path) -> None:
    tables = {role: pl.scan_parquet(paths) for role, paths in sources.items()}
    splits = _split(config, tables)
    encoder = Encoder.fit(config.spec, splits["train"])
    with atomic(folder) as draft:
        encoder.save(draft / "encoder")
        for name, rows in splits.items():
            target = draft / name / _ROWS
            encoder.encode(rows).sink_parquet(target, mkdir=True, row_group_size=65_536)
        counts = {name: _counts(draft / name, list(config.spec.tasks)) for name in splits}
        _check_counts(counts)
        versions = {package: version(package) for package in ("polars", "polars-hash", "gradops")}
        manifest = {**inputs, "splits": counts, "versions": versions}
        (draft / _MANIFEST).write_text(json.dumps(manifest, indent=1))


def _split(config: RunConfig, tables: dict[str, pl.LazyFrame]) -> dict[str, pl.LazyFrame]:
    shares = {"val": config.split.validation, "test": config.split.test}
    if "holdout" in tables:
        held = {n: tables["holdout"].filter(side(config.split, shares) == n) for n in shares}
        return {"train": tables["train"], **held}
    shares = {"train": 1 - sum(shares.values()), **shares}
    return {n: tables["train"].filter(side(config.split, shares) == n) for n in shares}


def _counts(folder: Path, tasks: list[str]) -> dict[str, Any]:
    """Rows of a split and, for each task, known labels and positives."""
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
