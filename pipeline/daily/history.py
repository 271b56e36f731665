"""What the scheduled job found of each day, on disk: which days are done, and which are left out of later ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from pipeline.config.run import RunConfig
from pipeline.daily.page import markdown
from pipeline.daily.record import Entry, Status
from pipeline.files.atomic import durable


class Diary:
    """The entries of a config, one file a day.

    Args:
        config: Names the folder.
    """

    def __init__(self, config: RunConfig) -> None:
        self.folder = config.runs / "daily" / config.name

    def __iter__(self) -> Iterator[Entry]:
        """Every entry, the oldest first."""
        for path in sorted(self.folder.glob("[0-9]*.json")):
            yield Entry.model_validate_json(path.read_text())

    def of(self, day: date) -> Entry | None:
        """A day's entry, if there is one."""
        path = self.path(day)
        return Entry.model_validate_json(path.read_text()) if path.exists() else None

    def path(self, day: date) -> Path:
        """The file of a day's entry."""
        return self.folder / f"{day}.json"

    def write_page(self, entry: Entry) -> Path:
        """Write an entry for a person, beside its file."""
        path = self.path(entry.day).with_suffix(".md")
        with durable(path) as draft:
            draft.write_text(markdown(entry))
        return path

    def save(self, entry: Entry) -> Entry:
        """Write an entry, and its page, in the place of the one before."""
        self.write_page(entry)
        with durable(self.path(entry.day)) as draft:
            draft.write_text(entry.model_dump_json(indent=1))
        return entry

    def left_out(self) -> dict[date, Status]:
        """The days that are not read, to their statuses."""
        return {entry.day: entry.status for entry in self if entry.is_left_out}
