"""Single-task models, and every method, on the same data and seeds: the table of a paper."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.managers import SyncManager
from queue import Empty, Queue
from statistics import mean, stdev
from typing import Any, Literal, Protocol

from pipeline import runs
from pipeline.candidates import Candidate
from pipeline.config import RunConfig
from pipeline.evaluation import Ties, delta_m_pct, mean_rank
from pipeline.files import atomic, fingerprint
from pipeline.interruption import end_with_parent
from pipeline.prepared import Prepared
from pipeline.runs import Epoch, Run, mean_auc
from pipeline.survey import at_once
from pipeline.training import tidy, train

SINGLE_TASK = "single-task"
Split = Literal["val", "test"]


@dataclass(frozen=True)
class Planned:
    """One run of a comparison.

    Args:
        system: The row of the table it belongs to.
        config: What it trains.
        trial: The trial of a search that it is for.
    """

    system: str
    config: RunConfig
    trial: int | None = None

    @property
    def label(self) -> str:
        """The run as a person would name it."""
        task = f" {self.config.tasks[0]}" if self.system == SINGLE_TASK else ""
        return f"{self.system}{task} seed {self.config.train.seed}"


class Observer(Protocol):
    """Told what happens to each run, in one process and one thread."""

    def epoch(self, planned: Planned, epoch: Epoch) -> None:
        """An epoch ended."""

    def finished(self, planned: Planned, run: Run, reused: bool) -> None:
        """A run ended, or was found done."""


@dataclass(frozen=True)
class Row:
    """One system's figures on one split, over its seeds.

    Args:
        system: Single-task, or a method.
        auc: Mean AUC of each task.
        deviation: Standard deviation of each task's AUC over the seeds; None with one seed.
        average: Mean of the tasks' AUC.
        delta_m_pct: Mean relative drop against the single-task models in percent; lower is better.
        mean_rank: Mean over the tasks of the system's rank by AUC; 1 is best.
    """

    system: str
    auc: dict[str, float]
    deviation: dict[str, float] | None
    average: float
    delta_m_pct: float
    mean_rank: float


@dataclass(frozen=True)
class Comparison:
    """Every run of a comparison, and the tables made of them.

    Args:
        config: What was compared.
        prepared: On what.
        systems: System to its runs: one a seed, or one a seed and task for the single-task models.
    """

    config: RunConfig
    prepared: Prepared
    systems: dict[str, list[Run]]

    @property
    def fingerprint(self) -> str:
        """Equal runs, equal fingerprint."""
        return identity(self.config, self.prepared)

    def table(self, split: Split, ties: Ties = "average") -> list[Row]:
        """One row a system, in the order they were asked for, the single-task models first."""
        tasks = self.config.tasks
        values = {s: {t: _aucs(found, t, split) for t in tasks} for s, found in self.systems.items()}
        auc = {s: {t: mean(v) for t, v in by_task.items()} for s, by_task in values.items()}
        ranks = mean_rank(auc, ties)
        several = self.config.compare.seeds > 1
        return [
            Row(
                system=s,
                auc=auc[s],
                deviation={t: stdev(v) for t, v in values[s].items()} if several else None,
                average=mean(auc[s].values()),
                delta_m_pct=delta_m_pct(auc[s], auc[SINGLE_TASK]),
                mean_rank=ranks[s],
            )
            for s in self.systems
        ]

    def candidates(self) -> list[Candidate]:
        """The methods, as the registry sees them: by validation AUC, each with the run of its best seed."""
        return [
            Candidate(
                row.system, max(self.systems[row.system], key=lambda r: mean_auc(r.val)), row.auc, row.delta_m_pct
            )
            for row in self.table("val")
            if row.system != SINGLE_TASK
        ]

    def save(self) -> None:
        """Write ``comparisons/<fingerprint>.json`` beside the runs: both tables, and the runs behind them."""
        content: dict[str, Any] = {s: [asdict(row) for row in self.table(s)] for s in ("val", "test")}
        content |= {"data": self.prepared.fingerprint, "config": self.config.model_dump(mode="json")}
        content["runs"] = {system: [run.fingerprint for run in found] for system, found in self.systems.items()}
        with atomic(self.config.runs / "comparisons" / f"{self.fingerprint}.json") as draft:
            draft.write_text(json.dumps(content, indent=1))


def plan(config: RunConfig) -> list[Planned]:
    """Every run of a comparison: the single-task models, then each method, for each seed."""
    seeds = range(config.train.seed, config.train.seed + config.compare.seeds)
    single = [Planned(SINGLE_TASK, _changed(config, "uniform", (t,), s)) for s in seeds for t in config.tasks]
    return single + [
        Planned(m, _changed(config, m, config.train.tasks, s)) for m in config.compare.methods for s in seeds
    ]


def identity(config: RunConfig, prepared: Prepared) -> str:
    """The fingerprint of a comparison, known before it is run."""
    return fingerprint([(p.system, runs.folder_of(p.config, prepared).name) for p in plan(config)])


def compare(config: RunConfig, prepared: Prepared, observers: Sequence[Observer]) -> Comparison:
    """Train whatever of a comparison is not done yet, and save its tables.

    Raises:
        InputError: As :func:`pipeline.training.train`.
    """
    comparison = trained(config, prepared, observers)
    comparison.save()
    return comparison


def trained(config: RunConfig, prepared: Prepared, observers: Sequence[Observer]) -> Comparison:
    """A comparison as :func:`compare` makes it, not saved."""
    planned = plan(config)
    systems: dict[str, list[Run]] = {}
    for p, run in zip(planned, complete(planned, prepared, observers, config.compare.workers), strict=True):
        systems.setdefault(p.system, []).append(run)
    return Comparison(config, prepared, systems)


def complete(planned: list[Planned], prepared: Prepared, observers: Sequence[Observer], workers: int) -> list[Run]:
    """Every planned run, in order: found where it is finished, trained where it is not.

    Finished runs are found by their config and the data's fingerprint, and unfinished ones by their checkpoints, so an
    interrupted comparison goes on where it stopped and a longer one trains only what is new.

    Args:
        planned: What is wanted.
        prepared: The data.
        observers: Told of every epoch and run.
        workers: Runs trained at the same time; 0 for one a core.
    """
    everyone = _Everyone(observers)
    found = [runs.find(p.config, prepared) for p in planned]
    for p, run in zip(planned, found, strict=True):
        if run is not None:
            tidy(p.config, prepared)
            everyone.finished(p, run, reused=True)
    missing = [p for p, run in zip(planned, found, strict=True) if run is None]
    trained = iter(_train_all(missing, prepared, everyone, at_once(workers, len(missing))))
    return [next(trained) if run is None else run for run in found]


@dataclass(frozen=True)
class _Everyone:
    """Several observers as one."""

    observers: Sequence[Observer]

    def epoch(self, planned: Planned, epoch: Epoch) -> None:
        for observer in self.observers:
            observer.epoch(planned, epoch)

    def finished(self, planned: Planned, run: Run, reused: bool) -> None:
        for observer in self.observers:
            observer.finished(planned, run, reused)


def _changed(config: RunConfig, method: str, tasks: Sequence[str], seed: int) -> RunConfig:
    train_config = config.train.model_copy(update={"method": method, "tasks": tuple(tasks), "seed": seed})
    return config.model_copy(update={"train": train_config})


def _train_all(planned: list[Planned], prepared: Prepared, observer: Observer, workers: int) -> list[Run]:
    """Train, in this process or in several, and return the runs in the order of the plan."""
    if workers > 1:
        return _train_in_processes(planned, prepared, observer, workers)
    finished = []
    for p in planned:
        finished.append(train(p.config, prepared, partial(observer.epoch, p)))
        observer.finished(p, finished[-1], reused=False)
    return finished


def _train_in_processes(planned: list[Planned], prepared: Prepared, observer: Observer, workers: int) -> list[Run]:
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    manager = SyncManager(ctx=context)
    # Ctrl-C reaches every process of a terminal, and a scheduler may tell all of a job to end. Workers are ended by
    # this process, once, and save what they have; an epoch that they report until then must find the queue there.
    manager.start(end_with_parent, ([signal.SIGINT, signal.SIGTERM],))
    with manager, ProcessPoolExecutor(workers, context, end_with_parent, ([signal.SIGINT],)) as pool:
        epochs: Queue[tuple[int, Epoch]] = manager.Queue()
        # Longest first, so that no core is left with one long run at the end.
        order = sorted(range(len(planned)), key=lambda i: planned[i].system in (SINGLE_TASK, "uniform"))
        futures = {pool.submit(_train_one, i, planned[i], prepared, epochs): i for i in order}
        try:
            for done in _as_completed(set(futures), lambda: _drain(epochs, planned, observer)):
                observer.finished(planned[futures[done]], done.result(), reused=False)
        except BaseException:
            # Leaving the pool waits for its workers, which end after the step that they are in.
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
    return [run for _, run in sorted((i, future.result()) for future, i in futures.items())]


def _train_one(index: int, planned: Planned, prepared: Prepared, epochs: Queue[tuple[int, Epoch]]) -> Run:
    return train(planned.config, prepared, lambda epoch: epochs.put((index, epoch)))


def _as_completed(futures: set[Future[Run]], poll: Callable[[], None]) -> Iterator[Future[Run]]:
    """Futures as they complete; ``poll`` is called twice a second and before each one is given."""
    while futures:
        done, futures = wait(futures, timeout=0.5, return_when="FIRST_COMPLETED")
        poll()
        yield from done


def _drain(epochs: Queue[tuple[int, Epoch]], planned: list[Planned], observer: Observer) -> None:
    while True:
        try:
            index, epoch = epochs.get_nowait()
        except Empty:
            return
        observer.epoch(planned[index], epoch)


def _aucs(found: list[Run], task: str, split: Split) -> list[float]:
    """A system's AUC of one task, one a seed."""
    metrics = [run.test if split == "test" else run.val for run in found if task in run.tasks]
    return [m[task]["auc"] for m in metrics]
