"""Finds the raw Parquet files of a config, and checks that they are readable, of one schema, and as declared."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import polars as pl

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.files import content, parquet, partitions
from pipeline.files.days import day_problems
from pipeline.files.losses import Loss, find_losses, loss_problems
from pipeline.files.schemas import CommonSchema
from pipeline.files.table import Table, find_table
from pipeline.runtime.executor import LOCAL_EXECUTOR, Executor
from pipeline.validation import duplicates, values
from pipeline.validation.findings import Findings
from pipeline.validation.layout import Layout, declared_problems


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
            found[role] = table.without(p for p in table.files if not config.data.reads(config.data.days.of(p)))
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
    of_newest = {p for paths in files.values() for p in paths if newest and config.data.days.of(p) == newest}
    repeats = duplicates.find_repeats(log.sound, config.contract.unique, executor, of_newest)
    problems = (*log.problems(), *repeats.problems)
    if newest is None:
        return Findings(problems, problems)
    return Findings(problems, (*log.without(of_newest, newest, executor).problems(), *repeats.without_newest))


@dataclass(frozen=True)
class _Log:
    """The observations of one look at raw files, file by file: the problems of all or of some files follow.

    Args:
        config: The contract, the split and the features that declare columns and values.
        sources: The files of each role whose problems are wanted.
        absent: Days that may be missing.
        unreadable: File to the reason why its schema cannot be read.
        own: Schema of each readable file.
        read_as: The needed columns of each file whose path has the declared partitions, in the common types of all.
        empty: Files without a row.
        breaches: Values that break rules.
        losses: Values that the common types cannot hold.
        copies: Files of one content.
    """

    config: RunConfig
    sources: Mapping[str, Sequence[Path]]
    absent: frozenset[date]
    unreadable: Mapping[Path, str]
    own: Mapping[Path, pl.Schema]
    read_as: Mapping[Path, pl.Schema]
    empty: frozenset[Path]
    breaches: values.Breaches
    losses: tuple[Loss, ...]
    copies: tuple[tuple[Path, ...], ...]

    @classmethod
    def read(cls, config: RunConfig, sources: Mapping[str, Sequence[Path]], executor: Executor) -> _Log:
        """Read every schema, and the columns that rules are about."""
        paths = list(dict.fromkeys(path for found in sources.values() for path in found))
        own, unreadable = parquet.read_schemas(paths)
        judged = () if config.contract.empty_days else own
        empty = frozenset(path for path in judged if not parquet.count_rows(path))
        files = _with_partitions(config, sources, own)
        layout = Layout.of(config, files)
        read_as = layout.read_as(files)
        breaches = values.find_breaches(read_as, values.rules(config), executor)
        losses = tuple(find_losses(own, read_as))
        copies = tuple(content.find_copies(own, config.data.partitions))
        absent = frozenset(config.data.without)
        return cls(config, sources, absent, unreadable, own, read_as, empty, breaches, losses, copies)

    def without(self, paths: Collection[Path], day: date, executor: Executor) -> _Log:
        """The log without some files, whose day may be missing then.

        Fewer files may have other common types: files that are then read as other types are looked at again.
        """
        sources = {role: [path for path in found if path not in paths] for role, found in self.sources.items()}
        files = _with_partitions(self.config, sources, self.own)
        read_as = Layout.of(self.config, files).read_as(files)
        again = {path: schema for path, schema in read_as.items() if schema != self.read_as[path]}
        breaches = self.breaches
        if again:
            judged = values.find_breaches(again, breaches.rules, executor)
            breaches = replace(breaches, files={**breaches.files, **judged.files})
        losses = tuple(find_losses(self.own, read_as))
        kept = replace(self, sources=sources, absent=self.absent | {day}, read_as=read_as)
        return replace(kept, breaches=breaches, losses=losses)

    @property
    def sound(self) -> dict[str, dict[Path, pl.Schema]]:
        """The readable files of each role."""
        readable = {path: schema for path, schema in self.read_as.items() if path not in self.breaches.damaged}
        return {role: {p: readable[p] for p in paths if p in readable} for role, paths in self.sources.items()}

    def problems(self) -> Iterator[str]:
        """All problems except repeated rows: for each role those of its files, then those of rows of all roles."""
        layout = Layout.of(self.config, _with_partitions(self.config, self.sources, self.own))
        for role, paths in self.sources.items():
            yield from self._of_role(role, paths, layout.roles[role])
        both = sorted(set(self.sources["train"]) & set(self.sources.get("holdout", [])))
        yield from (f"{path} is in data.train and in data.holdout; a row is trained on or held out" for path in both)
        wanted = {path for found in self.sources.values() for path in found}
        yield from map(content.copies_problem, content.among(self.copies, wanted))
        yield from self.breaches.problems(wanted)
        yield from loss_problems(self.losses)

    def _of_role(self, role: str, paths: Sequence[Path], common: CommonSchema) -> Iterator[str]:
        subject, days = f"data.{role}", self.config.data.days
        if common.schema:
            yield from declared_problems(self.config, common.schema, subject)
            yield from duplicates.unfit(subject, common.schema, self.config.contract.unique)
        yield from common.problems
        of_role = {path: self.own[path] for path in paths if path in self.own}
        yield from partitions.partition_problems(self.config.data.partitions, of_role)[0]
        yield from (self.unreadable[path] for path in paths if path in self.unreadable)
        yield from days.problems(paths)
        if not self.config.contract.empty_days:
            empty = [path for path in paths if path in self.empty]
            yield from day_problems(subject, {path: days.of(path) for path in paths}, empty, self.absent)


def _with_partitions(
    config: RunConfig, sources: Mapping[str, Sequence[Path]], own: Mapping[Path, pl.Schema]
) -> dict[str, dict[Path, pl.Schema]]:
    """The schemas of each role's files with their partitions, of files that have those that are declared."""
    declared = config.data.partitions
    _, wrong = partitions.partition_problems(declared, own)
    return {
        role: {p: partitions.with_partitions(own[p], declared) for p in paths if p in own and p not in wrong}
        for role, paths in sources.items()
    }
