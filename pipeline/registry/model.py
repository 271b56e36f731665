"""A registered model in MLflow: its versions, their files and tags, its aliases, and the claim on moving them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from features.errors import InputError
from pipeline.registry.packaging import fetched, reading
from pipeline.serving.scorer import Scorer
from pipeline.tracking.store import connect
from pipeline.tracking.tags import FINGERPRINT

CHAMPION, PREVIOUS = "champion", "previous"
_CONTENT = "gradops.handover"


@dataclass(frozen=True)
class Version:
    """One version, without its files.

    Args:
        number: Its number.
        tags: What is known of it.
        run_id: The MLflow run that trained it.
    """

    number: int
    tags: Mapping[str, str]
    run_id: str | None


class RegisteredModel:
    """A registered model.

    Args:
        name: Its name, which is its config's.

    Raises:
        InputError: If there is none of this name.
    """

    def __init__(self, name: str) -> None:
        self.name, self.client = name, connect()
        self._claim = f"{name}.handover"  # no config has a dot in its name
        if self._find(name) is None:
            near = get_close_matches(name, [model.name for model in self.client.search_registered_models()], n=1)
            hint = f"did you mean `{near[0]}`?" if near else "`gradops compare` registers models"
            raise InputError(f"no model `{name}` is registered; {hint}")

    @property
    def aliases(self) -> dict[str, int]:
        """Alias to version, as they are now."""
        return {alias: int(number) for alias, number in self.client.get_registered_model(self.name).aliases.items()}

    def versions(self) -> list[Version]:
        """All there are, oldest first."""
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return sorted(map(_version, found), key=lambda version: version.number)

    def version(self, number: int) -> Version:
        """One of them.

        Raises:
            InputError: If there is none of this number.
        """
        try:
            return _version(self.client.get_model_version(self.name, str(number)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        known = ", ".join(str(version.number) for version in self.versions()) or "none"
        raise InputError(f"`{self.name}` has no version {number}; it has {known}")

    def scorer(self, number: int) -> Scorer:
        """A version's model. None of the code that travels with it is run.

        Raises:
            InputError: If its files cannot be read.
        """
        with fetched(f"models:/{self.name}/{number}") as folder:
            return Scorer.load(folder)

    def inputs(self, number: int) -> dict[str, str]:
        """Column to type, as a version's signature declares them.

        Raises:
            InputError: If its files cannot be read.
        """
        with self._files(number):
            signature = mlflow.models.get_model_info(f"models:/{self.name}/{number}").signature
        return {} if signature is None else {str(column.name): repr(column) for column in signature.inputs}

    def check_files(self, number: int) -> None:
        """See that a version could serve.

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

    def claim(self, content: Mapping[str, Any]) -> bool:
        """Say what is about to be moved, unless somebody has and is not done: the store lets only one do it."""
        try:
            self.client.create_registered_model(self._claim, tags={_CONTENT: json.dumps(content)})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return False
        return True

    def claimed(self) -> dict[str, Any] | None:
        """What somebody is about to move."""
        found = self._find(self._claim)
        # A store reads a model, then its tags: of one that is deleted in between there are none left.
        content = None if found is None else found.tags.get(_CONTENT)
        return None if content is None else dict(json.loads(content))

    def release(self) -> None:
        """It is moved."""
        try:
            self.client.delete_registered_model(self._claim)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise

    @contextmanager
    def _files(self, number: int) -> Iterator[None]:
        uri = self.client.get_model_version_download_uri(self.name, str(number))
        fix = "restore them, or choose a version that has its files; a champion without can lose its alias"
        with reading(uri, f"the files of `{self.name}` version {number} cannot be read at {uri}", fix):
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
    """Fingerprint of the run that a model's champion was made of; None without a champion."""
    for model in client.search_registered_models(f"name = '{name}'"):
        if (champion := model.aliases.get(CHAMPION)) is not None:
            return client.get_model_version(name, str(champion)).tags.get(FINGERPRINT)
    return None
