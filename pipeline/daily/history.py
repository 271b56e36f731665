"""The history: the records of all days on disk, which tell the days that are done or left out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from pipeline.config.run import RunConfig
from pipeline.daily.accuracy import Accuracy
from pipeline.daily.page import day_page
from pipeline.daily.record import DayRecord, Status
from pipeline.files.atomic import durable


class History:
    """The records of a config, one file a day.

    Args:
        config: The config; its name and its folder of runs determine the folder.
    """

    def __init__(self, config: RunConfig) -> None:
        self.folder = config.runs / "daily" / config.name

    def __iter__(self) -> Iterator[DayRecord]:
        """Yield every record, the oldest day first."""
        for path in sorted(self.folder.glob("[0-9]*.json")):
            yield DayRecord.model_validate_json(path.read_text())

    def of(self, day: date) -> DayRecord | None:
        """A day's record; None if there is none."""
        path = self.path(day)
        return DayRecord.model_validate_json(path.read_text()) if path.exists() else None

    def path(self, day: date) -> Path:
        """The file of a day's record."""
        return self.folder / f"{day}.json"

    def write_page(self, record: DayRecord) -> Path:
        """Write a record's page for readers, next to its file."""
        path = self.path(record.day).with_suffix(".md")
        with durable(path) as draft:
            draft.write_text(day_page(record))
        return path

    def save(self, record: DayRecord) -> DayRecord:
        """Write a record and its page, replacing earlier ones of the day."""
        self.write_page(record)
        with durable(self.path(record.day)) as draft:
            draft.write_text(record.model_dump_json(indent=1))
        return record

    def left_out(self) -> dict[date, Status]:
        """The days that later days leave out, each with its status."""
        return {record.day: record.status for record in self if record.is_left_out}

    def kept(self, task: str, day: date, window: int) -> list[Accuracy]:
        """A task's AUCs on the days before a day that later days read, each of that day's own model.

        Days whose model had learnt nothing are left out.

        Args:
            task: The task.
            day: The new day.
            window: Number of days to look at, the new one included.
        """
        first = day - timedelta(window - 1)
        records = [record for record in self if first <= record.day < day and record.is_kept and task in record.auc]
        return [Accuracy(record.auc[task], record.auc_error.get(task, 0.0)) for record in records]
