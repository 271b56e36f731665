"""Budgets of time as text, such as ``30m``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_SECONDS = {"s": 1, "m": 60, "h": 3600}


def budget_seconds(text: str) -> float:
    """The seconds of a budget: seconds as ``90s``, minutes as ``30m``, hours as ``2h``.

    Raises:
        ValueError: If the text names none.
    """
    found = re.fullmatch(r"([1-9]\d{0,5})([smh])", text.strip())
    if found is None:
        raise ValueError(f"a budget should be seconds, minutes or hours, as `90s`, `30m` or `2h`, found `{text}`")
    return float(int(found[1]) * _SECONDS[found[2]])


def _budget(text: str) -> str:
    if text:
        budget_seconds(text)
    return text


BudgetText = Annotated[str, AfterValidator(_budget)]
"""A budget as text; empty for none."""
