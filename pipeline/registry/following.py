"""The version of a registered model that an alias points at, watched by a server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from models.embedding.precisions import FLOAT32, Precision
from pipeline.registry.model import RegisteredModel
from pipeline.registry.packaging import fetched
from pipeline.serving.scorer import Scorer

_log = logging.getLogger(__name__)
_MODELS = "models:/"


def alias_of(uri: str) -> tuple[str, str] | None:
    """The name and the alias of ``models:/NAME@ALIAS``; None for another URI."""
    name, is_alias, alias = uri.removeprefix(_MODELS).partition("@")
    return (name, alias) if uri.startswith(_MODELS) and is_alias else None


def load_version(uri: str, tables: Precision = FLOAT32) -> tuple[Scorer, int | None]:
    """A model and, if its URI has an alias, the number of the version that this points at.

    Args:
        uri: The model.
        tables: The precision in which its embedding tables are held.

    Raises:
        InputError: If there is no such model, or it cannot be held so.
    """
    found = alias_of(uri)
    version = None if found is None else RegisteredModel(found[0]).aliases.get(found[1])
    with fetched(uri if version is None or found is None else f"{_MODELS}{found[0]}/{version}") as folder:
        return Scorer.load(folder, tables), version


def follow(
    uri: str,
    version: int | None,
    seconds: float,
    moved: Callable[[Scorer, int | None], None],
    tables: Precision = FLOAT32,
) -> None:
    """Look at an alias every few seconds in a thread of its own, and load the version that it has moved to.

    A version that cannot be loaded, and a store that is away, are logged; the version before is served on.

    Args:
        uri: The model, ``models:/NAME@ALIAS``; another URI is not followed.
        version: The version that is served.
        seconds: Time between two looks.
        moved: Called with the new model, loaded.
        tables: The precision in which the embedding tables of new versions are held.
    """
    if (found := alias_of(uri)) is not None:
        threading.Thread(target=_follow, args=(uri, found, version, seconds, moved, tables), daemon=True).start()


def _follow(
    uri: str,
    found: tuple[str, str],
    version: int | None,
    seconds: float,
    moved: Callable[[Scorer, int | None], None],
    tables: Precision,
) -> None:
    name, alias = found
    pause = threading.Event()
    while not pause.wait(seconds):
        try:
            if RegisteredModel(name).aliases.get(alias) not in (None, version):
                scorer, version = load_version(uri, tables)
                moved(scorer, version)
        except Exception:
            _log.exception("%s is served on by version %s", uri, version)
