"""Conditional dimensions of a search space: alternatives by name, and numbers in a range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.search.choice import Draw

AS_WRITTEN = "as written"
Values = Mapping[str, Any]
# The alternatives on which a dimension depends: name of another dimension to those of its alternatives.
When = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Pick:
    """A dimension with alternatives.

    Args:
        name: Its name.
        options: Alternative to the values of the config that it sets, by their keys.
        when: The alternatives of earlier dimensions under which there is this dimension; always if empty.
    """

    name: str
    options: Mapping[str, Values]
    when: When = field(default_factory=dict)

    @property
    def usual(self) -> str:
        """Its first alternative: the one of the config as it is written, if that is among them."""
        return next(iter(self.options))

    @property
    def identity(self) -> Any:
        """All that the sampler knows of it."""
        return list(self.options)

    def drawn(self, draw: Draw) -> str:
        """The sampler's choice."""
        return str(draw.suggest_categorical(self.name, list(self.options)))

    def values(self, chosen: Any) -> Values:
        """The values of the config for a choice."""
        return self.options[chosen]


@dataclass(frozen=True)
class Number:
    """A dimension with a range.

    Args:
        name: Key of the config, or option of a method, such as ``gradops.alpha``.
        low: The lowest value.
        high: The highest value.
        usual: The value of the config as it is written, or a good one.
        log: Whether it is searched on a logarithmic scale.
        when: As for :class:`Pick`.
        is_key: Whether the name is a key of the config.
    """

    name: str
    low: float
    high: float
    usual: float
    log: bool = True
    when: When = field(default_factory=dict)
    is_key: bool = True

    @property
    def identity(self) -> Any:
        """All that the sampler knows of it."""
        return [self.low, self.high, self.log]

    def drawn(self, draw: Draw) -> float:
        """The sampler's choice, rounded to four digits, since it becomes part of names."""
        if isinstance(self.usual, int):
            return draw.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        found = draw.suggest_float(self.name, self.low, self.high, log=self.log)
        return found if found == self.usual else min(max(float(f"{found:.4g}"), self.low), self.high)

    def values(self, chosen: Any) -> Values:
        """The values of the config for a choice."""
        return {self.name: chosen} if self.is_key else {}


Dimension = Pick | Number


def applies(dimension: Dimension, chosen: Mapping[str, Any]) -> bool:
    """Whether there is a dimension under the choices so far."""
    return all(chosen.get(name) in options for name, options in dimension.when.items())
