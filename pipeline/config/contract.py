"""What raw rows must keep to, beside what their features declare: the config's section ``[contract]``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from features.declared import Declared

LeakAuc = Annotated[float, Field(ge=0, le=1)]


class ContractConfig(Declared):
    """What is checked before anything is written. It is no part of what is written.

    Args:
        unique: Raw columns that tell a row from every other; a null is a value like any other. Empty for no check.
        empty_days: Whether a file may hold no rows, and a day may be missing between the first and the last
            ``dt=2026-01-31`` of the paths.
        leak_auc: A feature whose AUC on a task exceeds this by a standard error knows the label; 0 for no check.
        leaks_allowed: Features that are not judged.
    """

    unique: tuple[str, ...] = ()
    empty_days: bool = False
    leak_auc: LeakAuc = 0.98
    leaks_allowed: tuple[str, ...] = ()
