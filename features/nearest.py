"""The name that a user probably meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
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
    near = nearest(name, known)
    return f"did you mean `{near}`?" if near else f"{names}: {_listed(known)}"


def missing_column(
    column: str, role: str, subject: str, columns: Iterable[str], fix: str = "", taken: Collection[str] = ()
) -> str:
    """The problem of a column that is not there, with the column that was probably meant or those that are there.

    Args:
        column: The column.
        role: What it is needed for, as ``"task `wish`"``.
        subject: The table's name.
        columns: The table's columns.
        fix: What to do if none of them is meant.
        taken: Columns that have another role: they are not listed.
    """
    columns = [*columns]
    text = f"column `{column}` ({role}) is missing from {subject}"
    if near := nearest(column, columns):
        return f"{text}; did you mean `{near}`?" + (f" If not, {fix}" if fix else "")
    free = [one for one in columns if one not in taken]
    has = f"it has {_listed(free)}" if free else ""
    return "; ".join(filter(None, [text, has, fix]))


def _listed(names: Sequence[str]) -> str:
    more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*names[:_SHOWN], *more]) or "none"
