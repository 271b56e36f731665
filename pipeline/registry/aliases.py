"""`champion` and `previous` move together, by one process at a time, on whatever machine.

MLflow moves one alias at a time and compares nothing before it does. So a move is first written down whole, under a
name that the store gives to one process only (:meth:`pipeline.registry.model.RegisteredModel.claim`). That is lock and
log in one: who finds it left by a killed process finishes what it says.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.registry.model import CHAMPION, PREVIOUS, RegisteredModel
from pipeline.runtime.signals import uninterrupted

_PATIENCE = 15.0  # seconds without a change before somebody else's move is finished; it takes a tenth of one
_POLL = 0.2


@dataclass(frozen=True)
class Move:
    """One change of the model in service.

    Args:
        champion: What serves from now on.
        before: What served so far; None if nothing did.
        tags: Version to the tags that tell it.
        id: Tells the move from every other.
    """

    champion: int
    before: int | None
    tags: Mapping[str, Mapping[str, str]]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


def hand_over(model: RegisteredModel, move: Move) -> bool:
    """Make a move, if what it says to be in service is.

    Returns:
        Whether it was made. If not, somebody else's was.
    """
    content = asdict(move)
    while True:
        with uninterrupted():
            # Ours as well where the store made it and the answer was lost: MLflow's next try is told that there is one.
            if model.claim(content) or model.claimed() == content:
                return _make_valid(model, move, content)
        settle(model)


def _make_valid(model: RegisteredModel, move: Move, content: dict[str, Any]) -> bool:
    """Make a move that is claimed, unless something else serves by now, or it was taken for a killed process's."""
    is_valid = model.aliases.get(CHAMPION) == move.before and model.claimed() == content
    if is_valid:
        _make(model, move)
    # Not where an error ends the move half way: then the claim tells the next command how to finish it.
    _release(model, content)
    return is_valid


def settle(model: RegisteredModel) -> None:
    """Wait until nobody is moving aliases, and finish what a killed process has begun."""
    seen, since = None, time.monotonic()
    while (found := model.claimed()) is not None:
        if found != seen:
            seen, since = found, time.monotonic()
        elif time.monotonic() - since > _PATIENCE:
            _finish(model, found)
        else:
            time.sleep(_POLL)


def _finish(model: RegisteredModel, content: dict[str, Any]) -> None:
    move = Move(**content)
    with uninterrupted():
        # Otherwise nothing was moved yet, or somebody has moved the alias by hand since: the claim alone is left.
        if model.aliases.get(CHAMPION) in (move.before, move.champion):
            _make(model, move)
        _release(model, content)


def _release(model: RegisteredModel, content: dict[str, Any]) -> None:
    if model.claimed() == content:
        model.release()


def _make(model: RegisteredModel, move: Move) -> None:
    # The champion last: there is a way back before anything changes for who asks for it.
    if move.before is not None:
        model.point(PREVIOUS, move.before)
    model.point(CHAMPION, move.champion)
    for number, tags in move.tags.items():
        model.tag(int(number), tags)
