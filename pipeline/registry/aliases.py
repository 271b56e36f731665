"""Alias swaps: `champion` and `previous` move together, by one process at a time, on any machine.

MLflow moves one alias at a time, and has no compare-and-swap. So a process first records the whole move under a name
that the store gives to one process only (:meth:`pipeline.registry.model.RegisteredModel.acquire`). The record is both
lock and log: a process that finds the record of a killed process finishes the move.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.registry.model import CHAMPION, PREVIOUS, RegisteredModel
from pipeline.runtime.signals import uninterrupted

PATIENCE = 15.0  # seconds without a change after which this process finishes another's move; a move takes 0.1 s
_POLL = 0.2


@dataclass(frozen=True)
class AliasMove:
    """One change of the model in service.

    Args:
        champion: The version that serves from now on.
        before: The version that served so far; None if there was none.
        tags: Version to the tags that describe the move.
        id: Unique id of the move.
    """

    champion: int
    before: int | None
    tags: Mapping[str, Mapping[str, str]]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


def swap_aliases(model: RegisteredModel, move: AliasMove, patience: float = PATIENCE) -> bool:
    """Make a move, if the version in service is still the one that the move expects.

    Args:
        model: The registered model.
        move: The move.
        patience: As in :func:`finish_moves`.

    Returns:
        Whether the move was made. If not, another process has changed the champion.
    """
    content = asdict(move)
    while True:
        with uninterrupted():
            # If the answer to a successful request was lost, MLflow retries and fails, but the record found is ours.
            if model.acquire(content) or model.acquired() == content:
                return _make_if_valid(model, move, content)
        finish_moves(model, patience)


def _make_if_valid(model: RegisteredModel, move: AliasMove, content: dict[str, Any]) -> bool:
    """Make an acquired move, unless another version serves now, or another process has finished the move already."""
    is_valid = model.aliases.get(CHAMPION) == move.before and model.acquired() == content
    if is_valid:
        _make(model, move)
    # After an error half way through a move the record stays, and tells the next command how to finish the move.
    _release(model, content)
    return is_valid


def finish_moves(model: RegisteredModel, patience: float = PATIENCE) -> None:
    """Wait until no process is moving aliases, and finish the move of a killed process.

    Args:
        model: The registered model.
        patience: Seconds without a change after which a process counts as killed.
    """
    seen, since = None, time.monotonic()
    while (found := model.acquired()) is not None:
        if found != seen:
            seen, since = found, time.monotonic()
        elif time.monotonic() - since > patience:
            _finish(model, found)
        else:
            time.sleep(_POLL)


def _finish(model: RegisteredModel, content: dict[str, Any]) -> None:
    move = AliasMove(**content)
    with uninterrupted():
        # A champion that is neither of the two means that a person has moved the alias since: only remove the record.
        if model.aliases.get(CHAMPION) in (move.before, move.champion):
            _make(model, move)
        _release(model, content)


def _release(model: RegisteredModel, content: dict[str, Any]) -> None:
    if model.acquired() == content:
        model.release()


def _make(model: RegisteredModel, move: AliasMove) -> None:
    # The champion moves last, so that `previous` is the way back before the model in service changes.
    if move.before is not None:
        model.point(PREVIOUS, move.before)
    model.point(CHAMPION, move.champion)
    for number, tags in move.tags.items():
        model.tag(int(number), tags)
