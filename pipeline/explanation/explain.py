"""Permutation importance of a served model of any kind on validation rows, for every task.

Breiman, `Random forests <https://doi.org/10.1023/A:1010933404324>`_, 2001, section 10, with the drop of the AUC in
place of the rise of the error, as scikit-learn's ``permutation_importance`` does with ``scoring="roc_auc"``; raw
columns are permuted instead of the model's inputs, and each drop has an interval.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from filelock import FileLock

from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.evaluation.intervals import Floats, auc_influence
from pipeline.explanation.association import associated
from pipeline.explanation.dependence import Curve, curve, numbers
from pipeline.explanation.drop import drops
from pipeline.explanation.explained_rows import ExplainedRows
from pipeline.explanation.explanation import EXPLANATIONS, Explanation, Worth
from pipeline.explanation.units import Unit, units
from pipeline.files.atomic import atomic, fingerprint
from pipeline.runtime.executor import LOCAL_EXECUTOR
from pipeline.serving.scorer import Scorer

CURVES = 4


@dataclass(frozen=True)
class Setting:
    """How much is computed.

    Args:
        rows: Largest number of validation rows that are used without sampling.
        repeats: Number of permutations of each unit; at least 2, since their spread is part of the interval.
        seed: Seed of the permutations.
    """

    rows: int = 20_000
    repeats: int = 5
    seed: int = 0


class ExplainCallback(Protocol):
    """Methods that explaining calls as it progresses."""

    def on_start(self, total: int, done: int) -> None:
        """Called before the first unit with the number of all units and of those that an earlier command has done."""

    def on_unit(self, name: str) -> None:
        """Called after each unit."""


@dataclass(frozen=True)
class Explaining:
    """The work of explaining a model; a command that goes on after an interruption finds the units that are done.

    Args:
        config: The config of the data; the explanation is kept in its folder of runs.
        prepared: The data whose validation rows are scored.
        scorer: The model.
        model: The model, as the user gave it.
        is_own_data: Whether the model was trained on this data.
        setting: How much is computed.
    """

    config: RunConfig
    prepared: Prepared
    scorer: Scorer
    model: str
    is_own_data: bool
    setting: Setting

    @property
    def path(self) -> Path:
        """The file of the explanation."""
        content = [self.scorer.digest, self.prepared.fingerprint, self.config.name, asdict(self.setting)]
        return self.config.runs / EXPLANATIONS / f"{self.config.name}-{fingerprint(content)[:8]}.json"

    def run(self, callback: ExplainCallback, workers: int) -> Explanation:
        """Compute what is missing, and save the explanation; a finished one is read.

        Args:
            callback: Told of each unit.
            workers: Number of units that are worked on at the same time, each in a thread.

        Raises:
            InputError: As :meth:`ExplainedRows.read` does.
            Timeout: If another command explains the same.
        """
        if self.path.exists():
            return Explanation.load(self.path)
        done = self.path.with_name(f".{self.path.stem}")
        done.mkdir(parents=True, exist_ok=True)
        with FileLock(done / "lock", timeout=0):
            explanation = self._computed(done, callback, workers)
            explanation.save(self.path)
        shutil.rmtree(done)
        return explanation

    def _computed(self, done: Path, callback: ExplainCallback, workers: int) -> Explanation:
        rows = ExplainedRows.read(self.config, self.prepared, self.scorer, self.setting.rows)
        found = units(self.scorer.encoder.spec, associated(rows.raw, self.scorer.encoder.spec))
        score_NT = rows.score_NT(rows.encoded)
        files = [done / f"{place:05}.json" for place in range(len(found))]
        callback.on_start(len(found), sum(file.exists() for file in files))

        def worth(place: int) -> Worth:
            if files[place].exists():
                return Worth.model_validate_json(files[place].read_bytes())
            new = self._worth(rows, found[place], score_NT, among=len(found) * len(self.scorer.tasks))
            with atomic(files[place]) as draft:
                draft.write_text(new.model_dump_json())
            return new

        worths = []
        before = {place for place, file in enumerate(files) if file.exists()}
        for place, one in enumerate(LOCAL_EXECUTOR.map(worth, range(len(found)), workers)):
            worths.append(one)
            if place not in before:
                callback.on_unit(one.title)
        aucs = {t: auc_influence(rows.labels_NT[:, i], score_NT[:, i])[0] for i, t in enumerate(self.scorer.tasks)}
        return Explanation(
            name=self.config.name,
            model=self.model,
            digest=self.scorer.digest,
            data=self.prepared.fingerprint,
            is_own_data=self.is_own_data,
            rows=len(rows),
            share=rows.share,
            repeats=self.setting.repeats,
            tasks=list(self.scorer.tasks),
            auc={task: auc for task, auc in aucs.items() if not np.isnan(auc)},
            worths=worths,
            curves=list(_curves(rows, worths)),
        )

    def _worth(self, rows: ExplainedRows, unit: Unit, score_NT: Floats, among: int) -> Worth:
        moved = 0.0

        def permuted() -> Iterator[Floats]:
            nonlocal moved
            for repeat in range(self.setting.repeats):
                order_N = np.random.default_rng([self.setting.seed, repeat]).permutation(len(rows))
                new_NT = rows.score_NT(rows.permuted(unit, order_N))
                moved = max(moved, float(np.abs(new_NT - score_NT).max()))
                yield new_NT

        tasks = self.scorer.tasks
        found = drops(rows.labels_NT, score_NT, permuted(), rows.unit_N, tasks=tasks, share=rows.share, among=among)
        return Worth(**asdict(unit), drops=found, moved=moved)


def _curves(rows: ExplainedRows, worths: list[Worth]) -> Iterator[Curve]:
    """The curves of the numbers with the largest mean drops."""
    known = numbers(rows.scorer.encoder.spec, rows.raw)
    first = sorted((w for w in worths if w.kind == "column" and w.columns[0] in known), key=lambda w: -w.mean)
    found = (curve(rows, one.columns[0]) for one in first[:CURVES])
    return (one for one in found if one is not None)
