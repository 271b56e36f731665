"""A finding: the result of one of the doctor's checks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Args:
        subject: Name of the check.
        ok: Whether runs can work with the state found.
        found: The state found.
        fix: The fix; empty if nothing is wrong.
    """

    subject: str
    ok: bool
    found: str
    fix: str = ""
