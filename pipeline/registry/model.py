"""A registered model in MLflow: its versions, their files and tags, its aliases, and the lock on moving aliases."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from features.errors import InputError
from features.nearest import nearest
from pipeline.registry.packaging import fetched, model_files
from pipeline.serving.scorer import Scorer
from pipeline.tracking.store import connect
from pipeline.tracking.tags import FINGERPRINT

CHAMPION, PREVIOUS = "champion", "previous"
# Tags of a version: fingerprint of its data, the data's split, and the prefix of each task's validation AUC.
DATA, SPLIT, VAL_AUC = "data", "split", "val.auc."
# Tag of a version whose files `gradops clean` has removed, with the time; and the tag of an MLflow run that names its
# logged model.
FILES_REMOVED, MODEL = "gradops.files_removed", "gradops.model"
_CONTENT = "gradops.handover"


@dataclass(frozen=True)
class Version:
    """One version of a registered model, without its files.

    Args:
        number: Its number.
        tags: Its tags; they hold its data, split, validation AUCs and the gate's decision.
        run_id: The MLflow run that trained it.
    """

    number: int
    tags: Mapping[str, str]
    run_id: str | None


class RegisteredModel:
    """A registered model.

    Args:
        name: Its name, which is also the config's.

    Raises:
        InputError: If no model has this name.
    """

    def __init__(self, name: str) -> None:
        self.name, self.client = name, connect()
        self._lock = f"{name}.handover"  # configs have no dot in their names, so this name is free
        if self._find(name) is None:
            near = nearest(name, (model.name for model in self.client.search_registered_models()))
            hint = f"did you mean `{near}`?" if near else "`gradops compare` registers models"
            raise InputError(f"no model `{name}` is registered; {hint}")

    @property
    def aliases(self) -> dict[str, int]:
        """Alias to version, read from the store at this moment."""
        return {alias: int(number) for alias, number in self.client.get_registered_model(self.name).aliases.items()}

    def versions(self) -> list[Version]:
        """Every version, the oldest first."""
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return sorted(map(_version, found), key=lambda version: version.number)

    def version(self, number: int) -> Version:
        """One version.

        Raises:
            InputError: If no version has this number.
        """
        try:
            return _version(self.client.get_model_version(self.name, str(number)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        known = ", ".join(str(version.number) for version in self.versions()) or "none"
        raise InputError(f"`{self.name}` has no version {number}; it has {known}")

    def scorer(self, number: int) -> Scorer:
        """A version's model, loaded without running the code among its files.

        Raises:
            InputError: If its files cannot be read.
        """
        with fetched(f"models:/{self.name}/{number}") as folder:
            return Scorer.load(folder)

    def check_files(self, number: int) -> None:
        """Check that a version has its files.

        Raises:
            InputError: If its files cannot be read.
        """
        with self._files(number):
            pass

    def point(self, alias: str, number: int) -> None:
        """Move an alias."""
        self.client.set_registered_model_alias(self.name, alias, str(number))

    def tag(self, number: int, tags: Mapping[str, str]) -> None:
        """Write tags of a version."""
        for key, value in tags.items():
            self.client.set_model_version_tag(self.name, str(number), key, value)

    def acquire(self, content: Mapping[str, Any]) -> bool:
        """Record a move before making it; False if another process has recorded one that is unfinished.

        The record is a registered model of a fixed name, which the store creates only once.
        """
        try:
            self.client.create_registered_model(self._lock, tags={_CONTENT: json.dumps(content)})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return False
        return True

    def acquired(self) -> dict[str, Any] | None:
        """The move that some process is making; None if there is none."""
        found = self._find(self._lock)
        # The store reads a model, then its tags: if the model is deleted in between, no tags are found.
        content = None if found is None else found.tags.get(_CONTENT)
        return None if content is None else dict(json.loads(content))

    def release(self) -> None:
        """Remove the record of a finished move."""
        try:
            self.client.delete_registered_model(self._lock)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise

    @contextmanager
    def _files(self, number: int) -> Iterator[None]:
        if removed := self.version(number).tags.get(FILES_REMOVED):
            fix = "choose another one, or train the run again: that registers it anew"
            raise InputError(
                f"`gradops clean` has removed the files of `{self.name}` version {number} ({removed}); {fix}"
            )
        uri = self.client.get_model_version_download_uri(self.name, str(number))
        fix = "restore them, or choose a version that has its files; a champion without files can lose its alias"
        with model_files(uri, f"the files of `{self.name}` version {number} cannot be read at {uri}", fix):
            yield

    def _find(self, name: str) -> Any:
        try:
            return self.client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None


def _version(found: Any) -> Version:
    return Version(int(found.version), dict(found.tags), found.run_id or None)


def champion_run(client: MlflowClient, name: str) -> str | None:
    """Fingerprint of the run behind a model's champion; None without a champion."""
    for model in client.search_registered_models(f"name = '{name}'"):
        if (champion := model.aliases.get(CHAMPION)) is not None:
            return client.get_model_version(name, str(champion)).tags.get(FINGERPRINT)
    return None
