"""Counts of known values for each raw file: data that grows takes those of the files that it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from features.coverage import Coverage

_FILE = "coverage.json"


class FileCoverage(BaseModel):
    """The counts of raw files.

    Args:
        files: Role of a file to the digest of its content to split to the counts of its rows there.
    """

    files: dict[str, dict[str, dict[str, Coverage]]] = {}

    def add(self, role: str, content: str, found: Mapping[str, Coverage]) -> None:
        """Add the counts of some rows of a file."""
        splits = self.files.setdefault(role, {}).setdefault(content, {})
        for split, counts in found.items():
            splits[split] = splits.get(split, Coverage()).plus(counts)

    def of_file(self, role: str, content: str) -> dict[str, Coverage]:
        """The counts of a file by split; empty if it was prepared before there were counts."""
        return self.files.get(role, {}).get(content, {})

    def of_split(self, split: str) -> Coverage:
        """The counts of a split."""
        total = Coverage()
        for files in self.files.values():
            for splits in files.values():
                total = total.plus(splits.get(split, Coverage()))
        return total

    def save(self, folder: Path) -> None:
        """Write the counts into a folder of prepared data."""
        (folder / _FILE).write_text(self.model_dump_json())

    @classmethod
    def load(cls, folder: Path) -> FileCoverage:
        """The counts of prepared data; none if it was prepared before there were counts."""
        path = folder / _FILE
        return cls.model_validate_json(path.read_bytes()) if path.exists() else cls()
