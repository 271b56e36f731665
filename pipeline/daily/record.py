"""What the scheduled job found of one day."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# Begun: a killed job's. Admitted: later days read it, nothing was decided by it. Suspect: its data failed a check.
# Rejected: it breaks the contract.
Status = Literal["begun", "admitted", "promoted", "refused", "suspect", "rejected"]
_DECIDED = ("promoted", "refused", "suspect")


class Entry(BaseModel):
    """One day.

    Args:
        day: The day.
        status: What became of it.
        files: SHA-256 of each of its raw files.
        by_hand: Whether a person has admitted it: while its files stay as they are nothing else is decided of it.
        reasons: Why it was refused, rejected or only admitted.
        left_out: Earlier days that its run did not read, to their statuses.
        start_from: The run that its own started from; empty for a start from the seed.
        data: Fingerprint of the prepared data.
        rows: Rows of each split.
        run: Fingerprint of the run.
        auc: Task to AUC on the day.
        version: The version of the registered model that was offered.
        champion: The version in service afterwards.
        checks: What the gate and the data checks found.
        drift: What has changed most against the training days.
        positives: Task to its share of positives, on the day and in training.
        began: When its job began, in UTC.
        written: When this was.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    day: date
    status: Status
    files: dict[str, str] = {}
    by_hand: bool = False
    reasons: list[str] = []
    left_out: dict[date, Status] = {}
    start_from: str = ""
    data: str | None = None
    rows: dict[str, int] = {}
    run: str | None = None
    auc: dict[str, float] = {}
    version: int | None = None
    champion: int | None = None
    checks: list[dict[str, Any]] = []
    drift: list[dict[str, Any]] = []
    positives: dict[str, tuple[float, float]] = {}
    began: datetime = Field(default_factory=lambda: datetime.now(UTC))
    written: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def is_decided(self) -> bool:
        """Whether a model was judged by it."""
        return self.status in _DECIDED

    @property
    def is_settled(self) -> bool:
        """Whether its files, as they are, have nothing more to be asked."""
        return self.is_decided or self.by_hand

    @property
    def is_left_out(self) -> bool:
        """Whether later days do not read it."""
        return self.status in ("suspect", "rejected")

    def changed(self, **values: Any) -> Entry:
        """The entry with other values, written now."""
        return self.model_validate(self.model_dump(exclude={"written"}) | values)
