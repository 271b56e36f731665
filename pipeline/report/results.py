"""What a comparison or a search found, read from its file: one structure for whoever shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from features.errors import InputError
from gradops.methods import parse
from pipeline.comparison.confidence import Confidence, Interval
from pipeline.runs.plan import System
from pipeline.runs.run import RESULT, Run
from pipeline.search.points import read

COMPARISONS, STUDIES = "comparisons", "studies"


@dataclass(frozen=True)
class Point:
    """One trade-off.

    Args:
        name: As a person would name it: a system, or a trial and its method.
        method: How gradients were combined, as text; the system's name where none were.
        params: What was searched, by name; empty for a system.
        baseline: Whether others are measured against it.
        chosen: Whether no other point beats it everywhere, by validation AUC.
        state: ``"complete"``, or why it has no figures.
        runs: Fingerprints of its runs.
        val: Validation AUC of each task, a mean over the seeds; empty without figures.
        test: Test AUC of each task.
        val_sd: Its standard deviation over the seeds; None with one.
        test_sd: The same of the test AUC.
    """

    name: str
    method: str
    params: dict[str, Any]
    baseline: bool
    chosen: bool
    state: str
    runs: list[str]
    val: dict[str, float]
    test: dict[str, float]
    val_sd: dict[str, float] | None
    test_sd: dict[str, float] | None

    @property
    def family(self) -> str:
        """Its method without options."""
        return self.method.partition("(")[0].strip()

    @property
    def alpha(self) -> float | None:
        """The trade-off that its method was given, if it has one."""
        for name, value in self.params.items():
            if name.rpartition(".")[2] == "alpha":
                return float(value)
        try:
            alpha = getattr(parse(self.method), "alpha", None)
        except ValueError:  # a baseline that is no method
            return None
        return None if alpha is None else float(alpha)


@dataclass(frozen=True)
class Result:
    """A comparison or a study.

    Args:
        path: Its file.
        kind: ``"comparison"`` or ``"study"``.
        name: Of the config.
        tasks: Their names.
        seeds: Of the runs.
        points: The trade-offs and the baselines.
        confidence: How sure the differences are, of a comparison's systems or of the points on a study's front; without
            intervals where a study is not finished.
        rows: The figures of a comparison's table, by system.
        notes: What a reader should know.
        made: Config, data fingerprint and versions.
    """

    path: Path
    kind: str
    name: str
    tasks: list[str]
    seeds: list[int]
    points: list[Point]
    confidence: Confidence
    rows: dict[str, dict[str, Any]]
    notes: list[str]
    made: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Equal content, equal fingerprint."""
        return self.path.stem

    @property
    def complete(self) -> list[Point]:
        """The points with figures."""
        return [point for point in self.points if point.state == "complete"]

    def runs(self, point: Point) -> list[Run]:
        """The runs of a point that are still on this disk."""
        folders = (self.path.parent.parent / fingerprint for fingerprint in point.runs)
        return [Run.load(folder) for folder in folders if (folder / RESULT).exists()]


def load_result(path: Path) -> Result:
    """Read what :func:`save` or a search wrote.

    Raises:
        InputError: If it is neither.
    """
    try:
        content = json.loads(path.read_text())
        points = _trials(content, path) if content["kind"] == "study" else _systems(content)
        return Result(
            path=path,
            kind=content["kind"],
            name=content["name"],
            tasks=content["tasks"],
            seeds=content["seeds"],
            points=points,
            confidence=Confidence([Interval(**i) for i in content.get("intervals", [])], ""),
            rows={row["system"]: row for row in content.get("test", [])},
            notes=content.get("notes", []),
            made={name: content[name] for name in ("data", "versions", "config")},
        )
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        fix = "give one that `gradops compare` or `gradops search` of this version wrote, or run it again"
        raise InputError(f"{path} is no result of a comparison or a search ({error!r}); {fix}") from None


def newest(runs: Path, name: str) -> Path:
    """The newest result below a folder of runs of a config's name.

    Raises:
        InputError: If there is none.
    """
    found = [path for kind in (COMPARISONS, STUDIES) for path in (runs / kind).glob("*.json") if _name(path) == name]
    if not found:
        fix = "run `gradops compare` or `gradops search` first, or name another config or file"
        raise InputError(f"no result of `{name}` in {runs / COMPARISONS} or {runs / STUDIES}; {fix}")
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def _name(path: Path) -> str | None:
    """Of the config; None where the file is damaged, or older than names are."""
    try:
        content = json.loads(path.read_text())
        name: str | None = content.get("name")
    except (ValueError, AttributeError):
        return None
    return name


def _systems(content: Mapping[str, Any]) -> list[Point]:
    """The points of a comparison: one a system."""
    val = {row["system"]: row for row in content["val"]}
    return [
        Point(
            name=row["system"],
            method=row["system"],
            params={},
            baseline=System.named(row["system"]).is_baseline,
            chosen=row["system"] in content["front"],
            state="complete",
            runs=content["runs"][row["system"]],
            val=val[row["system"]]["auc"],
            test=row["auc"],
            val_sd=val[row["system"]]["deviation"],
            test_sd=row["deviation"],
        )
        for row in content["test"]
    ]


def _trials(content: Mapping[str, Any], path: Path) -> list[Point]:
    """The points of a study: its baselines, then its trials."""
    baselines = [_baseline(name, runs, path) for name, runs in content["baselines"].items()]
    trials = [
        Point(
            name=point.label,
            method=point.method,
            params=point.params,
            baseline=False,
            chosen=point.pareto,
            state=point.state,
            runs=point.runs,
            val=point.val,
            test=point.test,
            val_sd=point.val_sd,
            test_sd=point.test_sd,
        )
        for point in map(read, content["points"])
    ]
    return [point for point in baselines if point is not None] + trials


def _baseline(name: str, fingerprints: list[str], path: Path) -> Point | None:
    """A baseline of a study, from those of its runs that are there; None without any."""
    folders = (path.parent.parent / fingerprint for fingerprint in fingerprints)
    runs = [Run.load(folder) for folder in folders if (folder / RESULT).exists()]
    tasks = dict.fromkeys(task for run in runs for task in run.tasks)
    val, test = ({t: [getattr(r, s)[t]["auc"] for r in runs if t in r.tasks] for t in tasks} for s in ("val", "test"))
    if not runs:
        return None
    return Point(
        name=name,
        method=name,
        params={},
        baseline=True,
        chosen=False,
        state="complete",
        runs=fingerprints,
        val={task: mean(aucs) for task, aucs in val.items()},
        test={task: mean(aucs) for task, aucs in test.items()},
        val_sd=_deviation(val),
        test_sd=_deviation(test),
    )


def _deviation(aucs: Mapping[str, list[float]]) -> dict[str, float] | None:
    several = all(len(values) > 1 for values in aucs.values())
    return {task: stdev(values) for task, values in aucs.items()} if several else None
