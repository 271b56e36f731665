"""The storage of a study, and the watch that finds out which of its workers are still alive."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.files.redaction import without_passwords
from pipeline.search.journal import folder_of, journal_of, open_journal, study_of

# Errors of a database that cannot be reached.
AWAY = (SQLAlchemyError, StorageInternalError)
_PATIENCE = 30  # seconds that a proxy has to answer
_TRIES = 5  # seconds, one each, in which another machine's tables may come to be


class Watch(Protocol):
    """The knowledge of which trials a living worker is running."""

    def hold(self, trial: FrozenTrial) -> AbstractContextManager[bool]:
        """A context in which this process runs a trial; its value is False if another process runs the trial."""

    def give_back_lost(self, study: optuna.Study) -> None:
        """Free the trials of killed workers for other workers."""


def open_storage(config: RunConfig) -> tuple[BaseStorage, Watch]:
    """The storage that a config names, and the watch over its workers.

    Raises:
        InputError: If the storage cannot be reached, or a line of a journal is damaged.
    """
    url, folder = config.search.storage, folder_of(config) / study_of(config)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        if not url:
            return open_journal(journal_of(config)), Leases(folder)
        try:
            if url.startswith("grpc://"):
                return _proxy(url), Leases(folder)
            storage = _database(url, config.search.heartbeat)
        except (*AWAY, ImportError, ValueError, OSError) as error:
            fix = "check `search.storage` and what is behind it; drivers come with `pip install gradops[storage]`"
            reason = without_passwords(str(error).splitlines()[0])
            raise InputError(f"the study at {without_passwords(url)} cannot be reached ({reason}); {fix}") from None
    return storage, Heartbeats(storage, config.search.heartbeat)


def _database(url: str, heartbeat: int) -> RDBStorage:
    """A database, with the study's tables, which another machine may be making at this moment."""
    # Without a pool, no connection stays open while a run trains, which can take hours.
    opened = partial(RDBStorage, url, {"poolclass": NullPool}, heartbeat_interval=heartbeat)
    for _ in range(_TRIES):
        try:
            return opened()
        except (IntegrityError, ProgrammingError):  # a table, or its type, that was not there a moment ago
            time.sleep(1)
    return opened()


@contextmanager
def reachable() -> Iterator[None]:
    """Turn the loss of the database during the block into an InputError."""
    try:
        yield
    except AWAY as error:
        reason = without_passwords(str(error.__cause__ or error).splitlines()[0])
        fix = "what is trained is saved: the same command goes on, once `search.storage` is back"
        raise InputError(f"the study cannot be reached any more ({reason}); {fix}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's warnings of experimental features; heartbeats and grouped TPE have had that mark for years."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


@dataclass(frozen=True)
class Leases:
    """A file lock for each running trial, which the kernel releases when its process dies.

    Args:
        folder: Folder of the locks, shared by all workers of the study.
    """

    folder: Path

    @contextmanager
    def hold(self, trial: FrozenTrial) -> Iterator[bool]:
        """See :class:`Watch`."""
        path = self.folder / f"trial-{trial.number}.lock"
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            # Deleted before the release: a process that has opened the file finds it gone, and makes another.
            path.unlink(missing_ok=True)
            lock.release()

    def give_back_lost(self, study: optuna.Study) -> None:
        """See :class:`Watch`. A running trial whose lock is free has lost its worker."""
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            with self.hold(trial) as is_lost:
                if is_lost:
                    give_back(study, trial)


@dataclass(frozen=True)
class Heartbeats:
    """Heartbeats in the database, for workers that share nothing else.

    A trial without a heartbeat for twice the interval is set to failed, and its place in the study is free again.

    Args:
        storage: The database.
        interval: Seconds between two heartbeats.
    """

    storage: RDBStorage
    interval: int

    @contextmanager
    def hold(self, trial: FrozenTrial) -> Iterator[bool]:
        """See :class:`Watch`. The first heartbeat comes before the trial is claimed, so that no trial runs without."""
        ended = threading.Event()
        self.storage.record_heartbeat(trial._trial_id)
        thread = threading.Thread(target=self._beat, args=(trial._trial_id, ended), daemon=True)
        thread.start()
        try:
            yield True
        finally:
            ended.set()
            thread.join()

    def give_back_lost(self, study: optuna.Study) -> None:
        """See :class:`Watch`."""
        with quiet():
            optuna.storages.fail_stale_trials(study)

    def _beat(self, trial_id: int, ended: threading.Event) -> None:
        while not ended.wait(self.interval):
            try:
                self.storage.record_heartbeat(trial_id)
            except AWAY:
                continue  # the server may be away for a moment; after two intervals others take the trial


def give_back(study: optuna.Study, trial: FrozenTrial) -> None:
    """Let another worker run a trial that is marked as running; call it only if no other process runs the trial.

    The trial keeps its number and its choice. Optuna itself would fail the trial and queue a copy, which comes later in
    the study: an interrupted search would then choose other points than an uninterrupted one.
    """
    storage = study._storage
    if storage.get_trial(trial._trial_id).state == TrialState.RUNNING:
        storage.set_trial_state_values(trial._trial_id, state=TrialState.WAITING)


def _proxy(url: str) -> GrpcStorageProxy:
    parts = urlsplit(url)
    proxy = GrpcStorageProxy(host=parts.hostname or "localhost", port=parts.port or 13000)
    proxy.wait_server_ready(timeout=_PATIENCE)
    return proxy
