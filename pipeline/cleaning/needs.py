"""The runs and data that aliases, unfinished studies, unsent runs and begun days need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from filelock import FileLock, Timeout

from features.errors import InputError
from pipeline.comparison.boosting import boosting_folder
from pipeline.config.run import RunConfig
from pipeline.daily.history import History
from pipeline.data.prepared import Prepared
from pipeline.registry.retention import Pointed, aliased_versions
from pipeline.runs.run import run_folder
from pipeline.search.unfinished import unfinished_studies
from pipeline.tracking.pending import PendingRuns
from pipeline.tracking.store import redacted_store_uri


@dataclass(frozen=True)
class Needs:
    """Everything that stays whatever its age, each with the reason.

    Args:
        runs: Fingerprint of a run to the reason.
        data: Fingerprint of prepared data to the reason.
        studies: Fingerprint of the data of an unfinished study to the reason; runs on it stay, too.
        aliased: The versions that an alias points at, of every registered model.
        at_work: The lock of another command at work in the folder of runs; empty if there is none.
    """

    runs: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    studies: Mapping[str, str] = field(default_factory=dict)
    aliased: Sequence[Pointed] = ()
    at_work: str = ""

    @classmethod
    def of(cls, config: RunConfig) -> Needs:
        """Ask the registry, the studies and the folder of runs.

        Raises:
            InputError: If a study cannot be read, or the registry lacks the model that days or comparisons tell of.
            MlflowException: If the registry cannot be reached.
        """
        aliased, records = aliased_versions(), list(History(config))
        _check_registry(config, aliased, [record.day for record in records if record.champion])
        runs: dict[str, str] = {}
        data: dict[str, str] = {}
        for one in aliased:
            reason = f"an alias of `{one.model}` points at it"
            runs |= {one.run: reason} if one.run else {}
            data |= {one.data: reason} if one.data else {}
        for record in records:
            if record.status == "begun":
                reason = "a day that was begun needs it"
                runs |= {record.start_from: reason} if record.start_from else {}
                data |= {record.data: reason} if record.data else {}
        runs |= {run.fingerprint: "it is not recorded in MLflow yet" for run in PendingRuns(config.runs).waiting()}
        if config.train.start_from:
            runs |= {config.train.start_from: "`train.start_from` names it"}
        studies = {d: f"the study `{name}` is unfinished" for d, name in unfinished_studies(config).items()}
        return cls(runs, data | studies, studies, aliased, _at_work(config))


def data_of(trained: RunConfig, run: str, candidates: Sequence[str]) -> str | None:
    """Fingerprint of the data that a run was trained on; None if it is none of the candidates.

    Args:
        trained: The run's config.
        run: The run's fingerprint.
        candidates: Fingerprints of data.
    """
    for candidate in candidates:
        prepared = Prepared(Path(candidate), {})
        if run in (run_folder(trained, prepared).name, boosting_folder(trained, prepared).name):
            return candidate
    return None


def is_held(lock: Path) -> bool:
    """Whether a process holds a lock."""
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def _at_work(config: RunConfig) -> str:
    return next((str(lock) for lock in _locks(config) if is_held(lock)), "")


def _locks(config: RunConfig) -> Iterator[Path]:
    """The locks of commands that train, except the config's own, which cleaning itself holds."""
    own = config.runs / f"{config.name}.lock"
    yield from (lock for lock in sorted(config.runs.glob("[!.]*.lock")) if lock != own)
    yield from sorted(config.runs.glob("checkpoints/*.lock"))
    yield from sorted(config.runs.glob("studies/*/trial-*.lock"))


def _check_registry(config: RunConfig, aliased: Sequence[Pointed], served: Sequence[date]) -> None:
    """Refuse another registry than the one that models were registered in: nothing there would name what is needed.

    Args:
        config: The config, whose days and comparisons tell of registered models.
        aliased: The versions of the registry that have an alias.
        served: The days on which a version was in service.
    """
    if any(one.model == config.name for one in aliased):
        return
    results = sorted((config.runs / "comparisons").glob(f"{config.name}-{'[0-9a-f]' * 8}.json"))
    tells = [config.runs / "daily" / config.name] if served else results[:1]
    for place in tells:
        found = f"{place} tells of registered models of `{config.name}`"
        fix = "see whether MLFLOW_TRACKING_URI names the store that they were recorded in; nothing is removed"
        raise InputError(f"{found}, but {redacted_store_uri()} has no alias of that model: {fix}")
