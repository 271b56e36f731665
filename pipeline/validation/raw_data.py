"""Finds the raw Parquet files of a config, and checks that they are readable, of one schema, and as declared."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import polars as pl

from features.contract import check_table
from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.files import content, parquet, partitions
from pipeline.files.schemas import common_schema
from pipeline.files.table import Table, find_table
from pipeline.runtime.executor import LOCAL_EXECUTOR, Executor
from pipeline.validation import duplicates, values
from pipeline.validation.findings import Findings


def find_raw_files(config: RunConfig) -> dict[str, Table]:
    """The files of each role, ``train`` and perhaps ``holdout``, of the days that the config reads; unopened.

    Raises:
        InputError: If there are none, as :func:`pipeline.files.table.find_table`; of all roles at once.
    """
    patterns = {"train": config.data.train} | ({"holdout": config.data.holdout} if config.data.holdout else {})
    found: dict[str, Table] = {}
    problems = []
    for role, pattern in patterns.items():
        try:
            table = find_table(pattern)
            found[role] = table.without(p for p in table.files if not config.data.reads(partitions.day_of(p)))
            if not found[role].files:
                limits = "`data.since`, `data.until` and `data.without` leave out"
                problems.append(f"data.{role}: {limits} the days of all {len(table.files)} files at `{pattern}`")
        except InputError as error:
            hint = "; `gradops fetch census` fetches census" if "census" in pattern else ""
            problems.append(f"data.{role}: {error}{hint}")
    if problems:
        raise InputError.of("raw data cannot be found", problems)
    return found


def examine_raw_data(
    config: RunConfig,
    sources: Mapping[str, Table],
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
    files = {role: table.files for role, table in sources.items()}
    log = _Log.read(config, files, executor)
    of_newest = {p for paths in files.values() for p in paths if newest and partitions.day_of(p) == newest}
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
        copies: Files of one content.
    """

    config: RunConfig
    sources: Mapping[str, Sequence[Path]]
    absent: frozenset[date]
    unreadable: Mapping[Path, str]
    schemas: Mapping[Path, pl.Schema]
    empty: frozenset[Path]
    breaches: values.Breaches
    copies: tuple[tuple[Path, ...], ...]

    @classmethod
    def read(cls, config: RunConfig, sources: Mapping[str, Sequence[Path]], executor: Executor) -> _Log:
        """Read every schema, and the columns that rules are about."""
        paths = list(dict.fromkeys(path for found in sources.values() for path in found))
        schemas, unreadable = parquet.read_schemas(paths)
        judged = () if config.contract.empty_days else schemas
        empty = frozenset(path for path in judged if not parquet.count_rows(path))
        breaches = values.find_breaches(schemas, values.rules(config), executor)
        copies = tuple(content.find_copies(schemas))
        return cls(config, sources, frozenset(config.data.without), unreadable, schemas, empty, breaches, copies)

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
        yield from map(content.copies_problem, content.among(self.copies, wanted))
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

        schema, differing = common_schema(files, lambda schema: len(declared(schema)))
        if schema is not None:
            yield from declared(schema)
            yield from duplicates.unfit(role, schema, self.config.contract.unique)
        yield from differing
