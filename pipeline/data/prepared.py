"""A complete folder of prepared data, written by :mod:`pipeline.data.prepare` and read by everything else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from features.encoder import Encoder
from pipeline.config.contract import ContractConfig
from pipeline.config.split import SplitConfig
from pipeline.files.atomic import atomic
from pipeline.files.parquet import scan, scan_folder

MANIFEST, ENCODER, PENDING = "manifest.json", "encoder", "pending.parquet"
_CONTRACT = "contract.json"


@dataclass(frozen=True)
class Prepared:
    """A complete folder of prepared data.

    Args:
        folder: ``{train,val,test}/part-*.parquet``, ``encoder/``, ``pending.parquet`` and ``manifest.json``.
        manifest: The folder's inputs, and its rows and labels by split.
    """

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def find(cls, folder: Path) -> Prepared | None:
        """The folder's data; None unless the manifest and every file that it names exist."""
        if not (folder / MANIFEST).exists():
            return None
        manifest = json.loads((folder / MANIFEST).read_text())
        return cls(folder, manifest) if all((folder / part).exists() for part in manifest["parts"]) else None

    @classmethod
    def all(cls, folder: Path) -> Iterator[Prepared]:
        """All complete data below a folder."""
        found = (cls.find(child) for child in sorted(folder.glob("[!.]*/")))
        return (prepared for prepared in found if prepared is not None)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the inputs: equal inputs have equal fingerprints."""
        return self.folder.name

    @property
    def rows(self) -> dict[str, int]:
        """The number of rows of each split."""
        return {split: int(found["rows"]) for split, found in self.manifest["splits"].items()}

    def prevalence(self, task: str) -> float:
        """The share of positives among a task's known training labels, strictly between 0 and 1.

        Preparing refuses a task without both classes.
        """
        labels = self.manifest["splits"]["train"]["tasks"][task]
        return float(labels["positives"] / labels["known"])

    @property
    def split(self) -> dict[str, Any]:
        """The rule that decided which rows are held out; another day's data may have the same rule."""
        return {**self.manifest["split"], **self.moments, "holdout": "holdout" in self.manifest["sources"]}

    @property
    def moments(self) -> dict[str, str]:
        """The beginnings of validation and test that were found for a split by time into shares; else empty."""
        found: dict[str, str] = self.manifest.get("moments", {})
        return found

    @property
    def split_config(self) -> SplitConfig:
        """The split, with moments in place of shares of a split by time."""
        return SplitConfig.model_validate({**self.manifest["split"], **self.moments})

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        """For each feature the rows of each split that are unknown or unseen; empty if it is from before such counts.

        See :func:`pipeline.data.counts.feature_counts`.
        """
        found: dict[str, dict[str, Any]] = self.manifest.get("features", {})
        return found

    @property
    def contract(self) -> ContractConfig | None:
        """The contract that the raw rows were last held against; None if none was noted then, or it cannot be read."""
        try:
            return ContractConfig.model_validate_json((self.folder / _CONTRACT).read_bytes())
        except (OSError, ValueError):
            return None

    def note_contract(self, contract: ContractConfig) -> None:
        """Note the contract that the raw rows were held against."""
        with atomic(self.folder / _CONTRACT) as draft:
            draft.write_text(contract.model_dump_json(indent=1))

    @property
    def written(self) -> int:
        """The time when it was written, in nanoseconds."""
        return (self.folder / MANIFEST).stat().st_mtime_ns

    def scan(self, split: str) -> pl.LazyFrame:
        """The encoded rows of a split, in the order of its parts."""
        return scan_folder(self.folder / split)

    def lineage(self) -> Iterator[str]:
        """Its fingerprint and those of the data that it has grown from, the newest first.

        Ancestors of which only the manifest is left are among them; one that is gone altogether comes last.
        """
        folder, manifest = self.folder, self.manifest
        while True:
            yield folder.name
            if (base := manifest.get("grown_from")) is None:
                return
            folder = folder.with_name(base)
            manifest = json.loads((folder / MANIFEST).read_text()) if (folder / MANIFEST).exists() else {}

    def encoder(self) -> Encoder:
        """The encoder that was fitted on its training rows."""
        return Encoder.load(self.folder / ENCODER)

    def pending(self) -> pl.DataFrame:
        """Values of its training rows that are in no vocabulary yet; see :meth:`features.fitting.Fitter.pending`."""
        return scan(self.folder / PENDING).collect()
