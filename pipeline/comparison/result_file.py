"""The result file of a comparison or a search: this module writes it, and reads it for reports."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from features.errors import InputError
from pipeline.comparison.chosen_model import ChosenModel
from pipeline.comparison.comparison import Row
from pipeline.comparison.confidence import Interval
from pipeline.comparison.findings import Labels
from pipeline.comparison.fronts import Fronts
from pipeline.comparison.point import Point
from pipeline.comparison.serving_cost import ServingCost
from pipeline.files.atomic import atomic
from pipeline.runs.run import Metrics


class ResultFile(BaseModel):
    """The part that the results of a comparison and of a study have in common.

    Args:
        kind: ``"comparison"`` or ``"study"``.
        name: The config's name, or the study's.
        data: Fingerprint of the prepared data.
        config: The config, as JSON.
        versions: Package to version.
        tasks: Names of the tasks.
        seeds: The seeds of the runs.
        verdicts: Sentences that readers should know before the figures: the choice, then warnings.
        fingerprint: Fingerprint of the comparison or the study; empty in files of before, whose name it is.
        made_at: Day and time of the result, in UTC.
        rows: Split to its number of rows.
        labels: Split to the labels of each task.
        features: For each feature the rows of each split that are unknown or unseen.
        metrics: Split to system to the metrics of each task, means over the seeds.
        serving: System of each registered version to what it costs to serve.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    name: str
    data: str
    config: dict[str, Any]
    versions: dict[str, str]
    tasks: list[str]
    seeds: list[int]
    verdicts: list[str] = []
    fingerprint: str = ""
    made_at: str = ""
    rows: dict[str, int] = {}
    labels: dict[str, dict[str, Labels]] = {}
    features: dict[str, dict[str, Any]] = {}
    metrics: dict[str, dict[str, Metrics]] = {}
    serving: dict[str, ServingCost] = {}

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all; keys that were not given are left out."""
        with atomic(path) as draft:
            draft.write_text(json.dumps(self.model_dump(exclude_unset=True), indent=1))


def now() -> str:
    """The present day and time, in UTC, as a result file has it."""
    return datetime.now(UTC).isoformat(timespec="minutes")


class ComparisonFile(ResultFile):
    """The results of a comparison.

    Args:
        val: Validation figures of each system.
        test: Test figures of each system.
        intervals: Intervals of the differences in test AUC.
        notes: Sentences that explain the table.
        front: The systems that are Pareto-optimal by validation AUC.
        runs: System to the fingerprints of its runs.
    """

    kind: Literal["comparison"]
    val: list[Row]
    test: list[Row]
    intervals: list[Interval] = []
    notes: list[str] = []
    front: list[str]
    runs: dict[str, list[str]]


class StudyFile(ResultFile):
    """The results of a search.

    Args:
        baselines: System to the fingerprints of its runs, for the systems that the points are compared with.
        points: Every finished point, in order of the trials.
        intervals: Intervals of the differences in test AUC of the Pareto-optimal points; none before the study's end.
        notes: Sentences that explain the intervals.
        chosen: The models that a preset chooses, the best first, and the best network for all tasks.
        against_rivals: Intervals of the chosen models' differences in test AUC from what a user has without a search.
        fronts: The Pareto fronts of the families of methods, where several were searched.
    """

    kind: Literal["study"]
    baselines: dict[str, list[str]]
    points: list[Point]
    intervals: list[Interval] = []
    notes: list[str] = []
    chosen: list[ChosenModel] = []
    against_rivals: list[Interval] = []
    fronts: Fronts | None = None


_FILE: TypeAdapter[ComparisonFile | StudyFile] = TypeAdapter(
    Annotated[ComparisonFile | StudyFile, Field(discriminator="kind")]
)


def load_result_file(path: Path) -> ComparisonFile | StudyFile:
    """Read a file that :meth:`ResultFile.save` wrote.

    Raises:
        InputError: If the file cannot be read, or is no result file.
    """
    try:
        return _FILE.validate_python(json.loads(path.read_text()))
    except OSError as error:
        fix = "give the result file of a comparison or a search, or the path of its config"
        raise InputError(f"{path} cannot be read ({error.strerror}); {fix}") from None
    except ValidationError as error:
        problem = error.errors()[0]
        reason = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}".removeprefix(": ")
    except ValueError as error:
        reason = str(error)
    fix = "give one that `gradops compare` or `gradops search` of this version wrote, or run it again"
    raise InputError(f"{path} is no result of a comparison or a search ({reason}); {fix}")
