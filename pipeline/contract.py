"""What raw rows must keep to, beside what their features declare: the config's section ``[contract]``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ContractConfig(BaseModel):
    """What is checked before anything is written. It is no part of what is written.

    Args:
        unique: Raw columns that tell a row from every other; a null is a value like any other. Empty for no check.
        empty_days: Whether a file may hold no rows, and a day may be missing between the first and the last
            ``dt=2026-01-31`` of the paths.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    unique: tuple[str, ...] = ()
    empty_days: bool = False
