"""Pending runs: finished runs that are not recorded in MLflow yet, because the tracking server was away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.files.atomic import atomic
from pipeline.tracking.group import RunGroup


@dataclass(frozen=True)
class PendingRun:
    """The facts that MLflow records about a run and that are missing from its folder.

    Args:
        experiment: Name of the MLflow experiment.
        label: Name of the MLflow run.
        fingerprint: The run's fingerprint, which is its folder's name.
        params: Its parameters.
        tags: Its tags, except those that a :class:`pipeline.tracking.recorder.Recorder` adds.
        group: The comparison, study or day that it belongs to; None for a run on its own.
    """

    experiment: str
    label: str
    fingerprint: str
    params: dict[str, str]
    tags: dict[str, str]
    group: RunGroup | None = None

    def to_json(self) -> dict[str, Any]:
        """The content of the run's file; the group becomes a list of kind and fingerprint, empty without a group."""
        return asdict(self) | {"group": [self.group.kind, self.group.fingerprint] if self.group else []}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> PendingRun:
        """The run that a file's content describes."""
        return cls(**content | {"group": RunGroup(*content["group"]) if content["group"] else None})


@dataclass(frozen=True)
class PendingRuns:
    """The pending runs of a folder of runs, one small file each. A run's history is in its own folder.

    Args:
        runs: The folder of runs.
    """

    runs: Path

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return self.runs / "unsent"

    def add(self, run: PendingRun) -> None:
        """Keep a finished run until it is recorded."""
        with atomic(self.path_of(run)) as draft:
            draft.write_text(json.dumps(run.to_json(), indent=1))

    def waiting(self) -> list[PendingRun]:
        """Every pending run whose folder still has a result, the oldest first."""
        found: list[tuple[int, PendingRun]] = []
        for path in self.folder.glob("[!.]*.json"):
            with suppress(FileNotFoundError):  # another process may have sent it at this moment
                found.append((path.stat().st_mtime_ns, PendingRun.from_json(json.loads(path.read_text()))))
        if not found:
            return []
        from pipeline.runs.run import RESULT  # imports torch, which the doctor does not need if no run waits

        ordered = [run for _, run in sorted(found, key=lambda pair: pair[0])]
        return [run for run in ordered if (self.runs / run.fingerprint / RESULT).is_file()]

    @contextmanager
    def exclusively(self) -> Iterator[list[PendingRun]]:
        """The pending runs, locked for this process to send; none while another process is sending them."""
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

    def remove(self, run: PendingRun) -> None:
        """Delete the file of a run that is recorded."""
        self.path_of(run).unlink(missing_ok=True)

    def path_of(self, run: PendingRun) -> Path:
        """The file of a pending run."""
        return self.folder / f"{run.experiment}-{run.fingerprint}.json"
