"""The choices of a draft: a feature or a column that is left out, each with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Feature:
    """A feature of the draft.

    Args:
        column: The column that names it.
        keys: Its keys in the config, ``column`` left out.
        evidence: What was found, as its comment has it.
        part: A word behind the column's name where a column has several features.
        look: Whether the user should look at it before training.
    """

    column: str
    keys: Mapping[str, Any]
    evidence: str
    part: str = ""
    look: bool = False


@dataclass(frozen=True)
class Excluded:
    """A column that is no feature.

    Args:
        column: The column.
        reason: Why.
        look: Whether the user should look at it: it may be a feature after all.
    """

    column: str
    reason: str
    look: bool = False


@dataclass(frozen=True)
class Choices:
    """The features and the columns left out."""

    features: tuple[Feature, ...] = ()
    excluded: tuple[Excluded, ...] = field(default_factory=tuple)

    def __add__(self, other: Choices) -> Choices:
        return Choices(self.features + other.features, self.excluded + other.excluded)
