"""One thing that the doctor has looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Args:
        subject: What was looked at.
        ok: Whether a run can go on with it.
        found: What was found.
        fix: What mends it; empty where nothing is wrong.
    """

    subject: str
    ok: bool
    found: str
    fix: str = ""
