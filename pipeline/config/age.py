"""Ages as text, such as ``14d``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator

_DAYS = {"d": 1, "w": 7}


def parse_age(text: str) -> timedelta:
    """The age that a text names: days as ``14d``, weeks as ``8w``.

    Raises:
        ValueError: If it names none, or less than a day.
    """
    found = re.fullmatch(r"([1-9]\d{0,4})([dw])", text.strip())
    if found is None:
        raise ValueError(f"an age should be days or weeks, at least one, as `14d` or `8w`, found `{text}`")
    return timedelta(days=int(found[1]) * _DAYS[found[2]])


def _age(text: str) -> str:
    if text:
        parse_age(text)
    return text


AgeText = Annotated[str, AfterValidator(_age)]
"""An age as text; empty for none."""
