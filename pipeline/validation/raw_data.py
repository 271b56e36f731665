"""Finds the raw Parquet files of a config, and checks that they are readable, of one schema, and as declared."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import polars as pl

from features.contract import check_table
from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.files import parquet, partitions
from pipeline.runtime.executor import LOCAL_EXECUTOR, Executor
from pipeline.validation import duplicates, values
from pipeline.validation.findings import Findings


def find_raw_files(config: RunConfig) -> dict[str, list[Path]]:
    """The files of each role, ``train`` and perhaps ``holdout``: they exist and may be read, but are not opened.

    Raises:
        InputError: If files are missing, or one of them is a folder or may not be read; in the latter case with the
            problems of the other files.
    """
    patterns = {"train": config.data.train} | ({"holdout": config.data.holdout} if config.data.holdout else {})
    found = {
        role: [path for path in parquet.find_files(pattern) if config.data.reads(partitions.day_of(path))]
        for role, pattern in patterns.items()
    }
    if missing := [f"data.{role}: no Parquet file at `{patterns[role]}`" for role, paths in found.items() if not paths]:
        where = f"paths are relative to the folder of the command, now {Path.cwd()}"
        raise InputError.of(f"raw data is not there ({where}; `gradops fetch census` fetches census)", missing)
    if not all(path.is_file() and os.access(path, os.R_OK) for paths in found.values() for path in paths):
        examine_raw_data(config, found).check()
    return found


def examine_raw_data(
    config: RunConfig,
    sources: Mapping[str, Sequence[Path]],
    executor: Executor = LOCAL_EXECUTOR,
    newest: date | None = None,
) -> Findings:
    """Check files, schemas and values against the config in one look at every file.

    Args:
        config: The contract, the split and the features that declare columns and values.
        sources: The files of each role.
        executor: Executor that reads the values.
        newest: A day of the files' ``dt=2026-01-31`` folders. The findings then also have the problems that remain
            without its files.
    """
    log = _Log.read(config, sources, executor)
    of_newest = {p for paths in sources.values() for p in paths if newest and partitions.day_of(p) == newest}
    repeats = duplicates.find_repeats(log.sound, config.contract.unique, executor, of_newest)
    problems = (*log.problems(), *repeats.problems)
    if newest is None:
        return Findings(problems, problems)
    return Findings(problems, (*log.without(of_newest, newest).problems(), *repeats.without_newest))


@dataclass(frozen=True)
class _Log:
    """The observations of one look at raw files, file by file: the problems of all or of some files follow.

    Args:
        config: The contract, the split and the features that declare columns and values.
        sources: The files of each role whose problems are wanted.
        absent: Days that may be missing.
        unreadable: File to the reason why its schema cannot be read.
        schemas: Schema of each readable file.
        empty: Files without a row.
        breaches: Values that break rules.
    """

    config: RunConfig
    sources: Mapping[str, Sequence[Path]]
    absent: frozenset[date]
    unreadable: Mapping[Path, str]
    schemas: Mapping[Path, pl.Schema]
    empty: frozenset[Path]
    breaches: values.Breaches

    @classmethod
    def read(cls, config: RunConfig, sources: Mapping[str, Sequence[Path]], executor: Executor) -> _Log:
        """Read every schema, and the columns that rules are about."""
        paths = list(dict.fromkeys(path for found in sources.values() for path in found))
        schemas, unreadable = parquet.read_schemas(paths)
        judged = () if config.contract.empty_days else schemas
        empty = frozenset(path for path in judged if not parquet.count_rows(path))
        breaches = values.find_breaches(schemas, values.rules(config), executor)
        return cls(config, sources, frozenset(config.data.without), unreadable, schemas, empty, breaches)

    def without(self, paths: Collection[Path], day: date) -> _Log:
        """The log without some files, whose day may be missing then."""
        sources = {role: [path for path in found if path not in paths] for role, found in self.sources.items()}
        return replace(self, sources=sources, absent=self.absent | {day})

    @property
    def sound(self) -> dict[str, dict[Path, pl.Schema]]:
        """The readable files of each role."""
        readable = {path: schema for path, schema in self.schemas.items() if path not in self.breaches.damaged}
        return {role: {p: readable[p] for p in paths if p in readable} for role, paths in self.sources.items()}

    def problems(self) -> Iterator[str]:
        """All problems except repeated rows: for each role those of its files, then those of rows of all roles."""
        for role, paths in self.sources.items():
            yield from self._of_role(f"data.{role}", paths)
        both = sorted(set(self.sources["train"]) & set(self.sources.get("holdout", [])))
        yield from (f"{path} is in data.train and in data.holdout; a row is trained on or held out" for path in both)
        wanted = {path for found in self.sources.values() for path in found}
        yield from self.breaches.problems(wanted)

    def _of_role(self, role: str, paths: Sequence[Path]) -> Iterator[str]:
        yield from self._of_schemas(role, {path: self.schemas[path] for path in paths if path in self.schemas})
        yield from (self.unreadable[path] for path in paths if path in self.unreadable)
        if not self.config.contract.empty_days:
            empty = [path for path in paths if path in self.empty]
            yield from partitions.partition_problems(role, paths, empty, self.absent)

    def _of_schemas(self, role: str, files: dict[Path, pl.Schema]) -> Iterator[str]:
        def declared(schema: pl.Schema) -> list[str]:
            return [*check_table(self.config.spec, schema, role), *self.config.split.problems(schema, role)]

        schema, differing = parquet.common_schema(files, lambda schema: len(declared(schema)))
        if schema is not None:
            yield from declared(schema)
            yield from duplicates.unfit(role, schema, self.config.contract.unique)
        yield from differing
