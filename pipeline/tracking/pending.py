"""Finished runs that the tracking server has not been told of, because it was away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.files.atomic import atomic


@dataclass(frozen=True)
class Entry:
    """What is to be recorded of a run, beside its folder.

    Args:
        experiment: Where.
        label: Under which name.
        fingerprint: Of the run; its folder's name.
        params: Its parameters.
        tags: Its tags, those that a store gives out apart.
        group: Kind and fingerprint of the comparison or study that it belongs to; empty for a run on its own.
    """

    experiment: str
    label: str
    fingerprint: str
    params: dict[str, str]
    tags: dict[str, str]
    group: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outbox:
    """The entries of a folder of runs, a file each: what a run has learnt is in its own folder, history and all.

    Args:
        runs: The folder of runs.
    """

    runs: Path

    @property
    def folder(self) -> Path:
        """Where the entries are."""
        return self.runs / "unsent"

    def keep(self, entry: Entry) -> None:
        """Remember a finished run."""
        with atomic(self.path(entry)) as draft:
            draft.write_text(json.dumps(asdict(entry), indent=1))

    def waiting(self) -> list[Entry]:
        """Every entry whose run is still there, with its result, the oldest first."""
        found: list[tuple[int, Entry]] = []
        for path in self.folder.glob("[!.]*.json"):
            with suppress(FileNotFoundError):  # another process may send it at this moment
                found.append((path.stat().st_mtime_ns, _read(path)))
        if not found:
            return []
        from pipeline.runs.run import RESULT  # which brings torch: not for the doctor, where nothing waits

        ordered = [entry for _, entry in sorted(found, key=lambda pair: pair[0])]
        return [entry for entry in ordered if (self.runs / entry.fingerprint / RESULT).is_file()]

    @contextmanager
    def alone(self) -> Iterator[list[Entry]]:
        """What waits, for this process to send; nothing while another process sends it."""
        if not self.waiting():
            yield []
            return
        with ExitStack() as stack:
            try:
                stack.enter_context(FileLock(self.folder / ".lock", timeout=0))
            except Timeout:
                yield []
            else:
                yield self.waiting()

    def sent(self, entry: Entry) -> None:
        """Forget a run that is recorded."""
        self.path(entry).unlink(missing_ok=True)

    def path(self, entry: Entry) -> Path:
        """The file of an entry."""
        return self.folder / f"{entry.experiment}-{entry.fingerprint}.json"


def _read(path: Path) -> Entry:
    content = json.loads(path.read_text())
    return Entry(**content | {"group": tuple(content["group"])})
