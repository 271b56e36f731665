"""The questions of `gradops init` on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from jobs.console import err


class TerminalAsker:
    """Asks on the terminal. A :class:`pipeline.profiling.questions.Asker`."""

    def labels(self, candidates: Sequence[str], guess: Sequence[str]) -> Sequence[str]:
        """The labels, by their numbers or names, or as ``name=SQL``."""
        _print("Which columns hold an action to predict (a label)?")
        for number, column in enumerate(candidates, start=1):
            _print(f"  {number}  {column}")
        said = typer.prompt(
            "Numbers or names, separated by commas, or NAME=SQL", default=", ".join(guess) or None, err=True
        )
        if "=" in said:
            return [said.strip()]
        return [_by_number(word.strip(), candidates) for word in said.split(",") if word.strip()]

    def is_known_before(self, column: str, reason: str) -> bool:
        """Whether a column may be a feature; a wrong yes would let the model read the answer."""
        return typer.confirm(f"`{column}` is {reason}. Is it known before the row's event?", default=False, err=True)

    def time(self, candidates: Sequence[str], guess: str) -> str:
        """The time of a row's event, by its number or name."""
        _print("Which column has the time of a row's event?")
        for number, column in enumerate(candidates, start=1):
            _print(f"  {number}  {column}")
        while (
            chosen := _by_number(typer.prompt("Number or name", default=guess, err=True), candidates)
        ) not in candidates:
            _print(f"`{chosen}` is none of them")
        return chosen


def _by_number(said: str, candidates: Sequence[str]) -> str:
    return candidates[int(said) - 1] if said.isdecimal() and 0 < int(said) <= len(candidates) else said


def _print(text: str) -> None:
    err.print(text, highlight=False, markup=False, soft_wrap=True)
