"""The name that a user probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


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
    return f"did you mean `{near}`?" if near else f"{names}: {', '.join(known) or 'none'}"
