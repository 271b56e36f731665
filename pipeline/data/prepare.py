"""Prepares data from raw Parquet: splits, fits on training rows only, encodes and writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.config.run import RunConfig
from pipeline.data import incremental, moments
from pipeline.data.counts import check_known
from pipeline.data.file_coverage import FileCoverage
from pipeline.data.incremental import Base
from pipeline.data.prepared import Prepared
from pipeline.data.writer import Writer
from pipeline.files.atomic import fingerprint
from pipeline.files.content import identity
from pipeline.files.table import Table
from pipeline.runtime.executor import LOCAL_EXECUTOR, Executor
from pipeline.validation import leakage, raw_data
from pipeline.validation.findings import Findings
from pipeline.validation.layout import Layout


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
        digests: SHA-256 of each of them, with the values of its partitions if there are any.
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
        content = partial(identity, declared=config.data.partitions)
        digests = {role: list(executor.map(content, table.files, threads=2)) for role, table in sources.items()}
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
                self._hold(done)
                return done
            config, layout = self._with_moments(findings)
            found = incremental.find_base(config, self._inputs) if config.data.grow else None
            base = Base(found, by_time=config.split.time is not None)
            notes = {"left_out": self.left_out, "widened": [str(column) for column in layout.widened]}
            writer = Writer(config, self.executor, self.sources, self.digests, base, layout)
            return writer.write(self._inputs | base.inputs, notes, self._folder(base))

    @property
    def left_out(self) -> dict[str, list[str]]:
        """The files beside those of each role that are not read, if there are any."""
        return {role: list(map(str, table.left_out)) for role, table in self.sources.items() if table.left_out}

    def _with_moments(self, findings: Findings | None) -> tuple[RunConfig, Layout]:
        """The config, with moments in place of shares of a split by time, if the raw rows keep to the contract.

        And the columns and types that they are read as.
        """
        (self.examine() if findings is None else findings).check()
        layout, split, files = Layout.read(self.config, self.sources), self.config.split, self.sources["train"].files
        split = moments.with_moments(split, layout.schemas["train"][split.column], files, self.executor)
        config = self.config.model_copy(update={"split": split})
        leakage.check_leakage(config, files)
        return config, layout

    def _hold(self, done: Prepared) -> None:
        """Hold the raw rows of finished data against the contract, if it was prepared under another one."""
        contract = self.config.contract
        if done.contract in (None, contract):
            return
        self._with_moments(None)
        check_known(FileCoverage.load(done.folder).of_split("train"), done.rows["train"], contract.unknown_allowed)
        done.note_contract(contract)

    @cached_property
    def _inputs(self) -> dict[str, Any]:
        """All that the data depends on, except the data that it grows from."""
        return {
            "format": incremental.FORMATS[0],
            # A task's weight changes the training, not the prepared data.
            "spec": self.config.spec.model_dump(mode="json", exclude={"tasks": {"__all__": {"weight"}}}),
            "split": self.config.split.model_dump(mode="json"),
            "sources": self.digests,
            **({"partitions": self.config.data.partitions} if self.config.data.partitions else {}),
        }

    def _folder(self, base: Base, number: int = incremental.FORMATS[0]) -> Path:
        return self.config.data.prepared / fingerprint(self._inputs | {"format": number} | base.inputs)
