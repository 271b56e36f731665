"""The group that runs belong to: a comparison, a study, or a day of the scheduled job."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True)
class RunGroup:
    """Runs that have one parent run in MLflow.

    Args:
        kind: ``comparison``, ``study`` or ``day 2026-01-31``; the parent run's name.
        fingerprint: Fingerprint of the comparison, the study or the day; the parent run is found by it.
        is_shared: Whether several processes record runs of the group at the same time. A process that stops then leaves
            the parent run open for the others.
    """

    kind: str
    fingerprint: str
    is_shared: bool = field(default=False, compare=False)

    @classmethod
    def comparison(cls, fingerprint: str) -> RunGroup:
        """The runs of a comparison."""
        return cls("comparison", fingerprint)

    @classmethod
    def study(cls, fingerprint: str) -> RunGroup:
        """The runs of a search; any number of workers record them."""
        return cls("study", fingerprint, is_shared=True)

    @classmethod
    def day(cls, day: date, fingerprint: str) -> RunGroup:
        """The runs of a day of the scheduled job."""
        return cls(f"day {day}", fingerprint)
