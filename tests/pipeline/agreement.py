"""What has to be true after any command: the folder of runs, MLflow and the registry tell the same."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import polars as pl
from mlflow.entities import Run as Recorded

from pipeline.comparison.result_file import ComparisonFile, StudyFile, load_result_file
from pipeline.data.counts import mean_shares
from pipeline.registry.model import RegisteredModel
from pipeline.registry.packaging import fetched
from pipeline.runs.run import RESULT
from pipeline.serving.scorer import Scorer
from pipeline.tracking.names import metric_safe
from pipeline.tracking.store import connect
from pipeline.tracking.tags import FINGERPRINT

Named = Mapping[str, float]


class Agreement:
    """Compares the three places. Versions never change, so each is scored once.

    Args:
        name: The config's name, which is the experiment's and the model's.
        rows: Raw rows that every version has to score.
    """

    def __init__(self, name: str, rows: pl.DataFrame) -> None:
        self._name, self._rows = name, rows
        self._scored: set[int] = set()

    def check(self) -> None:
        """Compare everything that there is."""
        client = connect()
        experiment = client.get_experiment_by_name(self._name)
        found = [] if experiment is None else client.search_runs([experiment.experiment_id])
        assert {run.info.status for run in found} <= {"FINISHED"}, [(r.info.run_name, r.info.status) for r in found]
        recorded: dict[str, Recorded] = {}
        for run in found:
            fingerprint = run.data.tags[FINGERPRINT]
            assert fingerprint not in recorded, f"{run.info.run_name} is recorded twice"
            recorded[fingerprint] = run
        for path in Path("runs").glob(f"*/{RESULT}"):
            _same(recorded[path.parent.name].data.metrics, _figures(json.loads(path.read_text())))
        for path in Path("runs").glob("*/*.json"):
            if path.parent.name in ("comparisons", "studies"):
                self._check_group(path, recorded[load_result_file(path).fingerprint])
        for model in [] if experiment is None else client.search_logged_models([experiment.experiment_id]):
            assert str(model.status) == "READY", model.status
            of_run = json.loads(Path("runs", _of(recorded, model.source_run_id), RESULT).read_text())
            figures = {metric.key: metric.value for metric in model.metrics or []}
            assert figures.keys() == _figures(of_run).keys(), "a model has its own figures, each once"
            _same(figures, _figures(of_run))
        if client.search_registered_models(f"name = '{self._name}'"):
            self._check_registry(RegisteredModel(self._name))

    def _check_group(self, path: Path, parent: Recorded) -> None:
        """A comparison or a study on disk is what MLflow has of it."""
        kept = mlflow.artifacts.load_text(f"{parent.info.artifact_uri}/{path.name}")
        assert kept == path.read_text(), f"{path} is another one in MLflow"
        file = load_result_file(path)
        assert parent.data.tags["gradops.verdicts"] == ("\n".join(file.verdicts) or "none")
        if isinstance(file, ComparisonFile):
            table = {"val": file.val, "test": file.test}
            aucs = {
                f"{metric_safe(row.system)}.{split}.auc.{task}": auc
                for split, rows in table.items()
                for row in rows
                for task, auc in row.auc.items()
            }
            _same(parent.data.metrics, aucs)
        for run in _runs_of(file):
            assert Path("runs", run, RESULT).is_file(), f"{path} names {run}, which is not there"

    def _check_registry(self, model: RegisteredModel) -> None:
        """Every alias points at a version that scores; what serves has passed the gate; no move is unfinished."""
        versions = {version.number: version for version in model.versions()}
        aliases = model.aliases
        assert model.acquired() is None
        for number in set(aliases.values()):
            assert Path("runs", versions[number].tags[FINGERPRINT], RESULT).is_file()
            if number not in self._scored:
                with fetched(f"models:/{self._name}/{number}") as folder:
                    scores = Scorer.load(folder).score(self._rows).to_numpy()
                assert np.isfinite(scores).all()
                self._scored.add(number)
        if "champion" in aliases:
            assert versions[aliases["champion"]].tags["gate"] == "passed"


def _runs_of(file: ComparisonFile | StudyFile) -> Iterator[str]:
    if isinstance(file, ComparisonFile):
        yield from (run for runs in file.runs.values() for run in runs)
    else:
        yield from (run for runs in file.baselines.values() for run in runs)
        yield from (run for point in file.points if point.pareto for run in point.runs)


def _of(recorded: Mapping[str, Recorded], run_id: str | None) -> str:
    return next(fingerprint for fingerprint, run in recorded.items() if run.info.run_id == run_id)


def _figures(result: Mapping[str, Any]) -> dict[str, float]:
    """A result file's figures, under their names in MLflow."""
    prefixes = {"test": "test", "val": "best.val"}
    named = {
        f"{prefix}.{name}.{task}": value
        for part, prefix in prefixes.items()
        for task, metrics in result[part].items()
        for name, value in metrics.items()
    }
    return {**named, "best.epoch": result["best_epoch"], **mean_shares(result.get("features", {}))}


def _same(found: Named, expected: Named) -> None:
    """Each expected figure is among those found, to the last digit that a store keeps."""
    for name, value in expected.items():
        is_same = math.isclose(found[name], value, rel_tol=1e-12) or (math.isnan(found[name]) and math.isnan(value))
        assert is_same, f"{name}: {found[name]}, not {value}"
