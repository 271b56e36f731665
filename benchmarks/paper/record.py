"""The figures of one finished run as a small file that stands for the run where its weights are not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from features.errors import InputError
from pipeline.data.prepared import Prepared
from pipeline.files.atomic import atomic, fingerprint
from pipeline.runs.plan import PlannedRun
from pipeline.runs.run import Metrics, Run, depends_on, differences
from pipeline.runtime.versions import result_versions

_DIGITS = 6  # of a figure of every epoch


class Record(BaseModel):
    """The figures of a finished run.

    It has no weights and no scores of test rows: it gives a run's figures over seeds, but no intervals over rows.

    Args:
        label: The run's name for people, such as ``"single-task income seed 0"``.
        system: Its system.
        seed: Its seed.
        tasks: The tasks that it trained.
        depends_on: Everything that decides its result, as :func:`pipeline.runs.run.depends_on` gives it: the run's
            config, the data's fingerprint and the format of runs.
        versions: Package to version where it was trained.
        seconds: Training time.
        best_epoch: The epoch whose weights its figures are of, counted from 0.
        val: Validation metrics of each task.
        test: Test metrics of each task.
        course: ``"loss"`` and ``"val_auc"`` to each task's figures after every epoch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    system: str
    seed: int
    tasks: list[str]
    depends_on: dict[str, Any]
    versions: dict[str, str]
    seconds: float
    best_epoch: int
    val: Metrics
    test: Metrics
    course: dict[str, dict[str, list[float]]]

    @classmethod
    def of(cls, planned: PlannedRun, run: Run, prepared: Prepared) -> Self:
        """The record of a run that this process has trained or found finished."""
        course: dict[str, dict[str, list[float]]] = {
            "loss": {t: [round(epoch.losses[t], _DIGITS) for epoch in run.history] for t in run.tasks},
            "val_auc": {t: [round(epoch.val[t]["auc"], _DIGITS) for epoch in run.history] for t in run.tasks},
        }
        return cls(
            label=planned.label,
            system=str(planned.system),
            seed=run.seed,
            tasks=run.tasks,
            depends_on=_as_json(depends_on(planned.config, prepared)),
            versions=result_versions(),
            seconds=round(sum(epoch.seconds for epoch in run.history), 1),
            best_epoch=run.best_epoch,
            val=run.val,
            test=run.test,
            course=course,
        )

    def save(self, folder: Path) -> Path:
        """Write the record, whole or not at all, and return its file; a line a field, so that a change is readable."""
        path = folder / f"{stem(self.label)}-{fingerprint(self.depends_on)}.json"
        lines = (f" {json.dumps(name)}: {json.dumps(value)}" for name, value in self.model_dump().items())
        with atomic(path) as draft:
            draft.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a record that :meth:`save` wrote.

        Raises:
            InputError: If the file is damaged, or its name is not that of its content.
        """
        fix = "restore the file, or remove it to train the run again"
        try:
            record = cls.model_validate_json(path.read_text())
        except ValidationError as error:
            problem = error.errors()[0]
            reason = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}".removeprefix(": ")
            raise InputError(f"{path} is no record of a run ({reason}): {fix}") from None
        if path.stem != (name := f"{stem(record.label)}-{fingerprint(record.depends_on)}"):
            raise InputError(f"{path} should be named `{name}.json` by its content: {fix}")
        return record


def find_record(folder: Path, planned: PlannedRun, prepared: Prepared) -> Record | None:
    """The record of a planned run; one of another config, other data or another format of runs is none.

    Raises:
        InputError: If it is damaged.
    """
    run = _as_json(depends_on(planned.config, prepared))
    path = folder / f"{stem(planned.label)}-{fingerprint(run)}.json"
    return Record.load(path) if path.exists() else None


def others(folder: Path, planned: PlannedRun, prepared: Prepared) -> Iterator[str]:
    """A sentence for each record of the same name that is of another run, with everything that differs."""
    run = _as_json(depends_on(planned.config, prepared))
    here = f"{stem(planned.label)}-{fingerprint(run)}"
    for path in sorted(folder.glob(f"{stem(planned.label)}-{'[0-9a-f]' * 16}.json")):
        if path.stem != here:
            differing = "; ".join(differences(Record.load(path).depends_on, run))
            yield f"{path} is of another run and does not count: {differing}"


def stem(label: str) -> str:
    """A run's label as a part of a file's name."""
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in label.replace("=", "")).replace("_seed_", "_seed")


def _as_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """Content as it comes back from a file: tuples are lists there."""
    back: dict[str, Any] = json.loads(json.dumps(content))
    return back
