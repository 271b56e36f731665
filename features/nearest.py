"""The name that a user probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_SHOWN = 40  # a list of more names helps nobody


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like a name, capitals or not; None if none is."""
    by_folded = {one.casefold(): one for one in reversed([*known])}
    return next((by_folded[one] for one in get_close_matches(name.casefold(), by_folded, n=1)), None)


def did_you_mean(name: str, known: Iterable[str], names: str) -> str:
    """The question whether the nearest name was meant; without one, a list of all known names.

    Args:
        name: The unknown name.
        known: The known names.
        names: Words for the known names in front of their list, such as ``"known keys"``.
    """
    known = [*known]
    if near := nearest(name, known):
        return f"did you mean `{near}`?"
    more = [f"and {len(known) - _SHOWN} more"] if len(known) > _SHOWN else []
    return f"{names}: {', '.join([*known[:_SHOWN], *more]) or 'none'}"


def missing_column(column: str, role: str, subject: str, columns: Iterable[str], fix: str = "") -> str:
    """The problem of a column that is not there, with the column that was probably meant or those that are there.

    Args:
        column: The column.
        role: What it is needed for, as ``"task `wish`"``.
        subject: The table's name.
        columns: The table's columns.
        fix: What to do if none of them is meant.
    """
    hint = did_you_mean(column, columns, "its columns")
    end = (f" If not, {fix}" if hint.endswith("?") else f"; {fix}") if fix else ""
    return f"column `{column}` ({role}) is missing from {subject}; {hint}{end}"
