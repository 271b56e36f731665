"""The config's section ``[contract]``: rules for raw rows, in addition to those that features declare."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from features.declared import Declared

LeakAuc = Annotated[float, Field(ge=0, le=1)]


class ContractConfig(Declared):
    """The checks of raw rows before anything is written. They are no part of the prepared data's identity.

    Data that was prepared under another contract is held against the present one before it is used.

    Args:
        unique: Raw columns that together identify a row; null counts as a value. Empty for no check.
        empty_days: Whether a file may hold no rows, and a day may be missing between the first and the last
            ``dt=2026-01-31`` of the paths.
        leak_auc: Limit of a feature's AUC on a task: exceeding it by a standard error means that the feature leaks the
            label. 0 for no check.
        leaks_allowed: Features exempt from the check for leaks.
        unknown_allowed: Features of which no training row needs to have a known value.
    """

    unique: tuple[str, ...] = ()
    empty_days: bool = False
    leak_auc: LeakAuc = 0.98
    leaks_allowed: tuple[str, ...] = ()
    unknown_allowed: tuple[str, ...] = ()
