"""Questions that a draft has for its user; without a terminal the best guess answers them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Asker(Protocol):
    """Answers the questions of a draft."""

    def labels(self, candidates: Sequence[str], guess: Sequence[str]) -> Sequence[str]:
        """The labels, among columns of two values or as ``name=SQL``."""

    def is_known_before(self, column: str, reason: str) -> bool:
        """Whether a column that looks like an outcome is known before the row's event, so that it may be a feature."""

    def time(self, candidates: Sequence[str], guess: str) -> str:
        """The time of a row's own event, among columns with times."""


class Guesses:
    """The best guess for every question. An :class:`Asker`."""

    def labels(self, candidates: Sequence[str], guess: Sequence[str]) -> Sequence[str]:
        """The columns that are named as labels are."""
        del candidates
        return guess

    def is_known_before(self, column: str, reason: str) -> bool:
        """No: a feature that gives the label away is worse than one that is missing."""
        del column, reason
        return False

    def time(self, candidates: Sequence[str], guess: str) -> str:
        """The column that is named most like a row's own time."""
        del candidates
        return guess


class Careful(Guesses):
    """Guesses for a command without a terminal and without `--yes`: nobody has agreed to guessed labels."""

    def labels(self, candidates: Sequence[str], guess: Sequence[str]) -> Sequence[str]:
        """None."""
        del candidates, guess
        return ()
