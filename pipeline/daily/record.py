"""The record of one day: the outcome of its scheduled job, and the reasons."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# begun: the job is running, or was killed. admitted: later days read the day, but no model was judged by it. suspect:
# its data failed a check. rejected: it breaks the contract. promoted, refused: the decision on the model judged by it.
Status = Literal["begun", "admitted", "promoted", "refused", "suspect", "rejected"]
TRAINING = "training of "  # the beginning of the names of checks that fail for a model that has learnt nothing
_DECIDED = ("promoted", "refused", "suspect")


class DayRecord(BaseModel):
    """One day, as its file in ``runs/daily/`` holds it.

    Args:
        day: The day.
        status: The outcome.
        files: SHA-256 of each of its raw files.
        by_hand: Whether a person has admitted the day; this holds as long as its files stay the same.
        reasons: Reasons why the day was rejected or only admitted, or its model refused.
        left_out: Earlier days that its run did not read, each with its status.
        start_from: The run that the day's run started from; empty for a start from the seed.
        data: Fingerprint of the prepared data.
        rows: Rows of each split.
        run: Fingerprint of the run.
        auc: Task to AUC on the day.
        auc_error: Task to the standard error of that AUC; empty in records of before there was one.
        version: The version of the registered model that was offered.
        champion: The version in service afterwards.
        checks: Checks of the gate and of the day's data.
        drift: Features that have changed most against the training days.
        positives: Task to its share of positives, on the day and in training.
        began: The time when its job began, in UTC.
        written: The time when this record was written, in UTC.
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
    auc_error: dict[str, float] = {}
    version: int | None = None
    champion: int | None = None
    checks: list[dict[str, Any]] = []
    drift: list[dict[str, Any]] = []
    positives: dict[str, tuple[float, float]] = {}
    began: datetime = Field(default_factory=lambda: datetime.now(UTC))
    written: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def is_decided(self) -> bool:
        """Whether a model was judged by the day."""
        return self.status in _DECIDED

    @property
    def is_settled(self) -> bool:
        """Whether the day is decided for good, as long as its files stay the same."""
        return self.is_decided or self.by_hand

    @property
    def is_kept(self) -> bool:
        """Whether a model was judged by the day that had learnt something, and later days read the day."""
        untrained = any(check["name"].startswith(TRAINING) and not check["passed"] for check in self.checks)
        return self.is_decided and not self.is_left_out and not untrained

    @property
    def is_left_out(self) -> bool:
        """Whether later days leave this day out."""
        return self.status in ("suspect", "rejected")

    def changed(self, **values: Any) -> DayRecord:
        """The record with other values, written now."""
        return self.model_validate(self.model_dump(exclude={"written"}) | values)
