"""The versions of registered models that nothing points at, and the removal of their files; their records stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from pipeline.registry.model import DATA, FILES_REMOVED, MODEL, RegisteredModel
from pipeline.tracking.sqlite_store import sqlite_file
from pipeline.tracking.store import connect, store_uri
from pipeline.tracking.tags import FINGERPRINT

_LOGGED = "models:/m-"  # the beginning of the source of a version whose files are a logged model's


@dataclass(frozen=True)
class Pointed:
    """A version that an alias points at.

    Args:
        model: The registered model.
        run: Fingerprint of the run that it serves; None if it is not one of ours.
        data: Fingerprint of the run's data.
        source: The place of its files.
    """

    model: str
    run: str | None
    data: str | None
    source: str


@dataclass(frozen=True)
class VersionFiles:
    """The files of a version.

    Args:
        model: The registered model.
        number: The version.
        created: The time when it was registered, in seconds since 1970.
        source: The place of its files.
        size: Their bytes; 0 if they are gone.
    """

    model: str
    number: int
    created: float
    source: str
    size: int


def aliased_versions() -> list[Pointed]:
    """The version behind each alias of every registered model, also of other configs.

    Raises:
        MlflowException: If the registry cannot be reached.
    """
    if _is_new():
        return []
    client = connect()
    found = []
    for model in _registered(client):
        for number in set(model.aliases.values()):
            version = client.get_model_version(model.name, str(number))
            tags = version.tags
            found.append(Pointed(model.name, tags.get(FINGERPRINT), tags.get(DATA), str(version.source)))
    return found


def files_of_versions(name: str) -> list[VersionFiles]:
    """The files of each version of a model, the oldest first; only those that we have logged.

    Raises:
        MlflowException: If the registry cannot be reached.
    """
    if _is_new():
        return []
    versions = connect().search_model_versions(f"name = '{name}'")
    found = [
        VersionFiles(name, int(one.version), one.creation_timestamp / 1000, str(one.source), _size_of(str(one.source)))
        for one in versions
        if str(one.source).startswith(_LOGGED)
    ]
    return sorted((one for one in found if one.size), key=lambda one: one.number)


def remove_files(files: VersionFiles) -> None:
    """Remove the files of a version, unless an alias has come to point at them. Its tags and metrics stay.

    The version is marked first: a process that is killed meanwhile leaves no version that passes for whole.
    """
    model = RegisteredModel(files.model)
    if model.acquired() is not None or is_aliased(files, aliased_versions()):
        return
    model.tag(files.number, {FILES_REMOVED: datetime.now(UTC).isoformat(timespec="seconds")})
    if run_id := model.version(files.number).run_id:
        model.client.set_tag(run_id, MODEL, "")
    _files(files.source).delete_artifacts()


def is_aliased(files: VersionFiles, aliased: Sequence[Pointed]) -> bool:
    """Whether an alias, of any model, points at files."""
    return any(files.source == one.source for one in aliased)


def _is_new() -> bool:
    """Whether the store is a SQLite file that the first run will make: looking into it would make it."""
    file = sqlite_file(store_uri())
    return file is not None and not file.exists()


def _registered(client: Any) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_registered_models(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _files(source: str | None) -> ArtifactRepository:
    """The place of a logged model's files."""
    logged = connect().get_logged_model(str(source).removeprefix("models:/"))
    return get_artifact_repository(logged.artifact_location)


def _size_of(source: str) -> int:
    """The bytes of a logged model's files; 0 if the model was deleted."""
    try:
        return _size(_files(source))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return 0


def _size(place: ArtifactRepository, path: str | None = None) -> int:
    """The bytes of all files at a place; 0 where there are none."""
    found = place.list_artifacts(path)
    return sum(_size(place, one.path) if one.is_dir else int(one.file_size or 0) for one in found)
