"""The files of finished runs: one a data set and family, a line a run, appended when the run ends.

The first line says of what definition the runs are; runs of another definition are never counted. AUCs are written in
units of 1e-5, seconds are those of a core.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from fcntl import LOCK_EX, flock
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.trial.datasets import Dataset
from benchmarks.trial.families import MORE_TRIALS, Family

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "trial"
_UNIT = 1e5
_RATES = (0.3, 0.03, 0.003)


@dataclass(frozen=True)
class Record:
    """A finished run.

    Args:
        trial: Number of its trial, which says its options and rates.
        seed: Its seed; 0 for the trials among which a family chooses.
        seconds: Seconds of a core, for training and validation.
        val: Validation AUC of each task, of labels.
        test: Test AUC of each task: expected over the labels where the truth is known. Both are empty if it failed.
        task: Place of its only task, of a single-task network.
        failed: The reason why it has no AUCs.
        blocks: Task by task, what each of 20 blocks of test rows adds to the deviation of its AUC, in units of 1e-6.
        cosines: Mean cosines of the tasks' gradients over the run, pair by pair, in units of 0.01.
        depends: The fingerprint of all that decides on its result, see :func:`benchmarks.trial.training.depends_on`;
            empty in the first runs of `log8-1`, which were made before runs had one.
    """

    trial: int
    seed: int
    seconds: float
    val: Sequence[float] = ()
    test: Sequence[float] = ()
    task: int | None = None
    failed: str = ""
    blocks: Sequence[Sequence[int]] = field(default_factory=list)
    cosines: Sequence[int] = field(default_factory=list)
    depends: str = ""

    @property
    def key(self) -> tuple[int, int, int | None]:
        """What tells it from other runs of its family."""
        return self.trial, self.seed, self.task

    def line(self) -> str:
        """Its line."""
        more = {name: getattr(self, name) for name in ("task", "failed", "blocks", "cosines", "depends")}
        given = {name: value for name, value in more.items() if value not in (None, "", [])}
        aucs = [[round(value * _UNIT) for value in values] for values in (self.val, self.test)]
        return json.dumps([self.trial, self.seed, round(self.seconds, 2), *aucs, given], separators=(",", ":"))

    @classmethod
    def of(cls, line: str) -> Record:
        """The run of a line."""
        trial, seed, seconds, val, test, more = json.loads(line)
        return cls(trial, seed, seconds, [v / _UNIT for v in val], [v / _UNIT for v in test], **more)


class OtherDefinitionError(Exception):
    """Finished runs are of another definition than today's."""


@dataclass(frozen=True)
class Store:
    """The files of a folder.

    Args:
        folder: The folder.
    """

    folder: Path = RESULTS

    def records(self, dataset: Dataset, family: Family) -> list[Record]:
        """The finished runs of a family on a data set, in the order in which they ended.

        Raises:
            OtherDefinitionError: If they are of another definition.
        """
        path = self._path(dataset, family)
        lines = _whole(path.read_bytes()).decode().splitlines() if path.exists() else []
        if not lines:
            return []
        if json.loads(lines[0]) != _definition(dataset, family):
            raise OtherDefinitionError(f"{path} has runs of another definition ({lines[0]}); move it away to run anew")
        return [Record.of(line) for line in lines[1:]]

    def add(self, dataset: Dataset, family: Family, record: Record) -> None:
        """Append a run; a line that a killed process left unfinished is cut off first."""
        path, definition = self._path(dataset, family), json.dumps(_definition(dataset, family))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as stream:
            flock(stream, LOCK_EX)
            stream.seek(0)
            stream.truncate(kept := len(_whole(stream.read())))
            stream.write(("" if kept else f"{definition}\n").encode() + f"{record.line()}\n".encode())

    def _path(self, dataset: Dataset, family: Family) -> Path:
        return self.folder / dataset.name / f"{family.file}.jsonl"


def _whole(content: bytes) -> bytes:
    """The finished lines of a file."""
    return content[: content.rfind(b"\n") + 1]


def _definition(dataset: Dataset, family: Family) -> dict[str, Any]:
    """Fingerprints of the data and of what each trial of a family is."""
    tables = str(dataset.changes.get("train.table_optimizer", "rowwise_adagrad"))
    return {"data": dataset.identity, "trials": _made_of(family, tables)}


@cache
def _made_of(family: Family, tables: str) -> str:
    trials = [[dict(family.shared(n, tables)), family.method(n, _RATES)] for n in range(MORE_TRIALS)]
    return hashlib.sha256(json.dumps(trials, sort_keys=True).encode()).hexdigest()[:12]
