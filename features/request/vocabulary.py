"""The known values of a table, as requests look them up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from features.constants import FIRST_KNOWN, NULL, OUT_OF_VOCABULARY
from features.request.column import Column
from features.request.names import name_of_text, names

Ids = npt.NDArray[np.int32]


class Vocabulary:
    """The ids of known values by name.

    Args:
        known: Their names; the first one has the id ``FIRST_KNOWN``.
        naming: The number of the rule of :mod:`features.naming`.
    """

    def __init__(self, known: Sequence[str], naming: int) -> None:
        self.naming = naming
        self._ids: dict[str | None, int] = {name: place for place, name in enumerate(known, FIRST_KNOWN)}
        self._ids[None] = NULL

    @property
    def names(self) -> list[str]:
        """The known names, in the order of their ids."""
        return [name for name in self._ids if name is not None]

    def ids(self, column: Column) -> Ids:
        """The id of each value.

        Raises:
            UnreadError: If the values are no categories, or their names are not made here.
        """
        if column.kind == "integer":
            known = self._of_integers
            found = [known.get(value, OUT_OF_VOCABULARY) for value in column.values]
        elif column.kind in ("text", "category"):
            found = self._of_texts(column.values)
        else:
            found = [self._ids.get(name, OUT_OF_VOCABULARY) for name in names(column, self.naming)]
        return np.array(found, np.int32)

    def _of_texts(self, texts: Sequence[str | None]) -> list[int]:
        ids = self._ids
        found = [ids.get(text, OUT_OF_VOCABULARY) for text in texts]
        if self.naming > 1 and OUT_OF_VOCABULARY in found:
            # A known name is its own name: only texts that are not known may have another one.
            for place, one in enumerate(found):
                if one == OUT_OF_VOCABULARY:
                    found[place] = self._ids.get(name_of_text(texts[place] or ""), OUT_OF_VOCABULARY)
        return found

    @cached_property
    def _of_integers(self) -> dict[int | None, int]:
        """The ids of names that are whole numbers, by number."""
        found: dict[int | None, int] = {None: NULL}
        for name, one in self._ids.items():
            if name is not None and (number := _number(name)) is not None:
                found[number] = one
        return found


def _number(name: str) -> int | None:
    """The integer that a name is the digits of; "007" names none."""
    if len(name) > 20 or not name.removeprefix("-").isdecimal() or not name.isascii():
        return None
    return int(name) if str(int(name)) == name else None
