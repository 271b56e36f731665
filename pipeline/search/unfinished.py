"""The studies that still lack a point."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
from optuna.storages import BaseStorage

from pipeline.config.run import RunConfig
from pipeline.search.attributes import DEPENDS_ON, ENDED, PLACE, POINT
from pipeline.search.journal import folder_of, open_journal
from pipeline.search.storage import open_storage, quiet, reachable


def unfinished_studies(config: RunConfig) -> dict[str, str]:
    """Fingerprint of the data of each study that lacks a point, to the study's name.

    The studies are those of all journals in the folder of runs, and those in the config's own storage.

    Raises:
        InputError: If a journal is damaged, or the storage cannot be reached.
    """
    with quiet(), reachable():
        return dict(found for storage in _storages(config) for found in _unfinished(storage))


def _storages(config: RunConfig) -> Iterator[BaseStorage]:
    for journal in sorted(folder_of(config).glob("*.journal")):
        yield open_journal(journal)
    if config.search.storage:
        yield open_storage(config)[0]


def _unfinished(storage: BaseStorage) -> Iterator[tuple[str, str]]:
    for study in storage.get_all_studies():
        attributes = storage.get_study_user_attrs(study._study_id)
        data = attributes.get(DEPENDS_ON, {}).get("data") if not attributes.get(ENDED) else None
        trials: list[optuna.trial.FrozenTrial] = storage.get_all_trials(study._study_id, deepcopy=False)
        done = {trial.user_attrs[PLACE] for trial in trials if POINT in trial.user_attrs and trial.state.is_finished()}
        if data and any(trial.user_attrs[PLACE] not in done for trial in trials):
            yield data, study.study_name
