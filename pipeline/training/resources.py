"""The resource check: the memory and disk that runs need against what this machine has left, before training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from features.encoder import Table
from features.errors import InputError
from models.table_optimizers.names import choices
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.files.sizes import size
from pipeline.runs.run import find_run, tables_of
from pipeline.training.footprint import Footprint, largest, table_bytes
from pipeline.training.memory import available_memory, free_disk
from pipeline.training.runner import concurrency

WORKER = 300 << 20  # bytes of a worker before it trains: 264 MiB of private memory after its imports


@dataclass(frozen=True)
class ResourceCheck:
    """The needs of planned runs and the means of this machine, in bytes.

    Args:
        run: Footprint of the largest run.
        missing: Number of runs still to be trained.
        concurrency: Number of these that are trained at the same time.
        available: Memory left; None if unknown.
        free: Disk space left for the runs.
        runs: Folder of the runs.
        tables: The largest tables.
        others: Every other table optimizer of the same kernel to the memory that the runs would need with it.
    """

    run: Footprint
    missing: int
    concurrency: int
    available: int | None
    free: int
    runs: Path
    tables: Sequence[Table]
    others: dict[str, int]

    @classmethod
    def of(
        cls,
        configs: Sequence[RunConfig],
        prepared: Prepared,
        workers: int,
        ranks: tuple[int, int] = (1, 1),
        *,
        memory_left: Callable[[str], int | None] = available_memory,
        disk_left: Callable[[Path], int] = free_disk,
    ) -> ResourceCheck:
        """Add up the needs of runs that differ in method, tasks and seed; finished runs need nothing.

        Args:
            configs: The runs.
            prepared: Their data.
            workers: Number of runs trained at the same time; 0 for one run a core.
            ranks: Number of ranks on this machine that share a run, and their number on all machines.
            memory_left: Function from a device to its bytes of memory left.
            disk_left: Function from a folder to the bytes left on its disk.
        """
        missing = sum(find_run(config, prepared) is None for config in configs)
        number = concurrency(workers, missing)
        config = max(configs, key=lambda c: len(c.tasks))
        tables = tables_of(config, prepared.encoder())
        others = {
            name: _needed(Footprint.on_ranks(_stepped_by(config, name), prepared, tables, *ranks), number)
            for name in choices(config.train.table_kernel, config.train.device)
            if name != config.train.table_optimizer
        }
        return cls(
            run=Footprint.on_ranks(config, prepared, tables, *ranks),
            missing=missing,
            concurrency=number,
            available=memory_left(config.train.device),
            free=disk_left(config.runs),
            runs=config.runs,
            tables=largest(tables),
            others=others,
        )

    @property
    def memory(self) -> int:
        """Memory of the runs that are trained at the same time, in bytes."""
        return _needed(self.run, self.concurrency)

    @property
    def disk(self) -> int:
        """Disk of all missing runs, and of the checkpoints of those that are trained at the same time, in bytes."""
        return self.missing * self.run.disk + self.concurrency * self.run.checkpoints

    @property
    def line(self) -> str:
        """The needs and the means, in one line."""
        left = "" if self.available is None else f" of {size(self.available)} available"
        disk = f"disk {size(self.disk)} of {size(self.free)}"
        return f"{self._runs} about {size(self.memory)}{left} ({self._parts}); {disk}"

    def check(self) -> None:
        """Refuse runs that cannot fit.

        Raises:
            InputError: If the missing runs need more memory or disk than there is. The message lists remedies.
        """
        problems = []
        if self.missing and self.available is not None and self.memory > self.available:
            tables = ", ".join(f"{t.name} {size(table_bytes(t))} ({t.rows:,} x {t.width})" for t in self.tables)
            problems.append(
                f"memory: {self._runs} about {size(self.memory)} ({self._parts}), {size(self.available)} available; "
                f"the largest tables are {tables}; {self._help()}"
            )
        if self.missing and self.disk > self.free:
            fix = "free some, set `runs` to a folder on another disk, or lower `train.keep_checkpoints`"
            problems.append(f"disk: {self._runs} {size(self.disk)}, {self.runs} has {size(self.free)} left; {fix}")
        if problems:
            raise InputError.of("this does not fit here", problems)

    @property
    def _runs(self) -> str:
        runs = "1 network needs" if self.missing == 1 else f"{self.missing} networks need"
        return f"{runs}, {self.concurrency} at a time," if self.concurrency > 1 else runs

    @property
    def _parts(self) -> str:
        parts = {"weights": self.run.weights, "gradients": self.run.gradients, "optimizer": self.run.state}
        parts |= {"average": self.run.average} if self.run.average else {}
        parts |= {"copy for checkpoints": self.run.staged} if self.run.staged else {}
        parts |= {"copies of the weights": self.run.copies, "batches": self.run.reader + self.run.step}
        return "each: " + ", ".join(f"{name} {size(number)}" for name, number in parts.items())

    def _help(self) -> str:
        ways = ["a smaller `width`, or fewer rows by `max_size`, `min_count` or `buckets`, of these tables"]
        ways += [
            f'`train.table_optimizer = "{name}"` ({size(needed)})'
            for name, needed in self.others.items()
            if needed < self.memory
        ]
        if self.run.staged:
            waiting = _needed(replace(self.run, staged=0), self.concurrency)
            ways.append(f"`train.async_checkpoints = false` ({size(waiting)}), by which a run waits for checkpoints")
        if self.concurrency > 1:
            ways.append(f"fewer `compare.workers` ({size(_needed(self.run, 1))} with 1)")
        return "what helps: " + "; ".join(ways)


def _needed(run: Footprint, number: int) -> int:
    """Memory of equal runs at the same time, each in a worker; a single run is trained in this process."""
    return number * run.memory + (number * WORKER if number > 1 else 0)


def _stepped_by(config: RunConfig, name: str) -> RunConfig:
    return config.model_copy(update={"train": config.train.model_copy(update={"table_optimizer": name})})
