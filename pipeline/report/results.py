"""The results of a comparison or a study for a report, read from their file and from the runs still on this disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from features.errors import InputError
from pipeline.comparison.comparison import Row
from pipeline.comparison.confidence import Confidence
from pipeline.comparison.point import Point
from pipeline.comparison.result_file import ComparisonFile, StudyFile, load_result_file
from pipeline.runs.run import RESULT, Run

COMPARISONS, STUDIES = "comparisons", "studies"


@dataclass(frozen=True)
class Result:
    """The results of a comparison or a study.

    Args:
        path: Their file.
        file: Its content.
        points: The trade-offs, including baselines.
    """

    path: Path
    file: ComparisonFile | StudyFile
    points: list[Point]

    @property
    def kind(self) -> str:
        """``"comparison"`` or ``"study"``."""
        return self.file.kind

    @property
    def name(self) -> str:
        """The config's name, or the study's."""
        return self.file.name

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks."""
        return self.file.tasks

    @property
    def seeds(self) -> list[int]:
        """The seeds of the runs."""
        return self.file.seeds

    @property
    def notes(self) -> list[str]:
        """Sentences that explain the figures."""
        return self.file.notes

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the comparison or study."""
        return self.file.fingerprint or self.path.stem

    @property
    def made(self) -> dict[str, Any]:
        """Data fingerprint, versions and config."""
        return {"data": self.file.data, "versions": self.file.versions, "config": self.file.config}

    @property
    def rows(self) -> dict[str, Row]:
        """The rows of a comparison's table, by system; empty for a study."""
        return {row.system: row for row in self.file.test} if isinstance(self.file, ComparisonFile) else {}

    @property
    def confidence(self) -> Confidence:
        """Intervals for a comparison's systems, or for a finished study's Pareto-optimal points."""
        return Confidence(self.file.intervals, "")

    @property
    def complete(self) -> list[Point]:
        """The complete points: those with figures."""
        return [point for point in self.points if point.state == "complete"]

    def runs(self, point: Point) -> list[Run]:
        """Those runs of a point that are still on this disk."""
        return _runs_there(point.runs, self.path)


def load_result(path: Path) -> Result:
    """Read a result file.

    Raises:
        InputError: If the file cannot be read, or is no result file.
    """
    file = load_result_file(path)
    try:
        return Result(path, file, _trials(file, path) if isinstance(file, StudyFile) else _systems(file))
    except KeyError as error:
        raise InputError(f"{path} is damaged: it has no figures of {error}; run `gradops compare` again") from None


def newest(runs: Path, name: str) -> Path:
    """The newest result file with a config's name, in a folder of runs.

    Raises:
        InputError: If there is no such file.
    """
    found = [path for kind in (COMPARISONS, STUDIES) for path in (runs / kind).glob("*.json") if _name(path) == name]
    if not found:
        fix = "run `gradops compare` or `gradops search` first, or name another config, file or folder (--runs)"
        raise InputError(f"no result of `{name}` in {runs / COMPARISONS} or {runs / STUDIES}; {fix}")
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def _name(path: Path) -> str | None:
    """The config's name in a result file; None if the file is damaged or has no name."""
    try:
        content = json.loads(path.read_text())
        name: str | None = content.get("name")
    except (ValueError, AttributeError):
        return None
    return name


def _systems(file: ComparisonFile) -> list[Point]:
    """The points of a comparison, one a system."""
    val = {row.system: row for row in file.val}
    return [
        Point(
            trial=None,
            method=row.system,
            params={},
            runs=file.runs[row.system],
            val=val[row.system].auc,
            test=row.auc,
            val_sd=val[row.system].deviation,
            test_sd=row.deviation,
            pareto=row.system in file.front,
        )
        for row in file.test
    ]


def _trials(file: StudyFile, path: Path) -> list[Point]:
    """The points of a study: baselines first, then trials."""
    baselines = [_baseline(name, runs, path) for name, runs in file.baselines.items()]
    return [point for point in baselines if point is not None] + file.points


def _baseline(name: str, fingerprints: list[str], path: Path) -> Point | None:
    """A baseline of a study, from its runs on this disk; None if there are none."""
    runs = _runs_there(fingerprints, path)
    tasks = dict.fromkeys(task for run in runs for task in run.tasks)
    val, test = ({t: [getattr(r, s)[t]["auc"] for r in runs if t in r.tasks] for t in tasks} for s in ("val", "test"))
    if not runs:
        return None
    return Point(
        trial=None,
        method=name,
        params={},
        runs=fingerprints,
        val={task: mean(aucs) for task, aucs in val.items()},
        test={task: mean(aucs) for task, aucs in test.items()},
        val_sd=_deviation(val),
        test_sd=_deviation(test),
    )


def _runs_there(fingerprints: Sequence[str], path: Path) -> list[Run]:
    """The runs with these fingerprints that are on this disk, in a result file's folder of runs."""
    folders = (path.parent.parent / fingerprint for fingerprint in fingerprints)
    return [Run.load(folder) for folder in folders if (folder / RESULT).exists()]


def _deviation(aucs: Mapping[str, list[float]]) -> dict[str, float] | None:
    several = all(len(values) > 1 for values in aucs.values())
    return {task: stdev(values) for task, values in aucs.items()} if several else None
