"""Trains one run of the trial with the product's own parts, in this process, and measures it."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import gradops
from benchmarks.trial.datasets import Dataset, Drawn
from benchmarks.trial.families import UNIFORM, Family
from benchmarks.trial.records import Record
from benchmarks.trial.truth import Array, deviations, expected_aucs, mean_cosines
from gradops.methods import parse
from models.architectures.shared_bottom import SharedBottomConfig
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.evaluation.multitask import task_metrics
from pipeline.files.atomic import fingerprint
from pipeline.runs.run import depends_on as run_depends_on
from pipeline.training.build import trainer_of
from pipeline.training.resolve import changed_config
from pipeline.training.trainer import DivergedError, Trainer

_COSINES_EVERY = 20  # steps, in the runs of uniform scaling whose cosines are kept

_ODD = 6.0  # standard deviations
_HALVES = 7  # seed of the hash of test rows
_METHODS = Path(gradops.__file__).parent
FRESH = 6  # the first of the fresh seeds
CODE = 1  # to be raised where the same config, data and options give other results


@dataclass(frozen=True)
class Planned:
    """A run to train.

    Args:
        dataset: Its data set.
        family: Its family.
        trial: Number of its trial.
        seed: Its seed; 0 for the trials among which the family chooses.
        task: Place of its only task, of a single-task network.
    """

    dataset: Dataset
    family: Family
    trial: int
    seed: int
    task: int | None = None

    @property
    def label(self) -> str:
        """Its name for people; also that of its lock."""
        task = "" if self.task is None else f".{self.task}"
        return f"{self.dataset.name}.{self.family.file}.{self.trial}.{self.seed}{task}"

    def record(self, seconds: float, **found: Any) -> Record:
        """Its record, with what was found."""
        return Record(self.trial, self.seed, seconds, task=self.task, **found)


@dataclass
class Bench:
    """Trains runs; the draws of the present data set stay prepared.

    Args:
        folder: Folder for generated and prepared data.
    """

    folder: Path
    _held: dict[tuple[str, int], tuple[RunConfig, Drawn, Prepared]] = field(default_factory=dict)

    def data(self, dataset: Dataset, draw: int) -> tuple[RunConfig, Drawn, Prepared]:
        """A draw with its config, prepared."""
        key = (dataset.name, draw)
        if key not in self._held:
            self._held = {other: held for other, held in self._held.items() if other[0] == dataset.name}
            config, drawn = dataset.config_of(draw, self.folder)
            self._held[key] = (config, drawn, prepare(config))
        return self._held[key]

    def rates(self, dataset: Dataset) -> list[float]:
        """The prevalences in the training rows of the draw on which families choose; rounded, they are options."""
        config, _, prepared = self.data(dataset, 0)
        return [float(f"{prepared.prevalence(task):.3g}") for task in config.spec.tasks]

    def depends(self, planned: Planned, rates: list[float]) -> str:
        """The fingerprint of all that decides on a run's result."""
        base, _, prepared = self.data(planned.dataset, planned.dataset.draw_of(planned.seed))
        return depends_on(planned.dataset, changed_config(base, _values(planned, base, rates)), prepared)

    def run(self, planned: Planned, rates: list[float]) -> Record:
        """Train and measure a run; one that diverges, or whose method fails, is recorded with its reason."""
        base, drawn, prepared = self.data(planned.dataset, planned.dataset.draw_of(planned.seed))
        torch.set_num_threads(1)
        torch.manual_seed(planned.seed)  # of dropout; everything else has the config's seed
        config = changed_config(base, _values(planned, base, rates))
        depends = depends_on(planned.dataset, config, prepared)
        trainer = trainer_of(config, prepared)
        started = time.process_time()
        try:
            epoch = trainer.epoch()
        except Exception as error:
            if not is_of_method(error):
                raise
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            print(f"{planned.label}: {reason}", file=sys.stderr, flush=True)
            return planned.record(time.process_time() - started, failed=reason, depends=depends)
        seconds = time.process_time() - started
        labels_NT, score_NT = scores(trainer, "test")
        val = [epoch.val[task]["auc"] for task in config.tasks]
        steps = list(epoch.diagnostics.values())
        more: dict[str, Any] = {"cosines": mean_cosines(steps, config.tasks)} if len(steps) > 1 else {}
        if drawn.chance_NT is None:
            labels_NT, score_NT = (rows_NT[_look(planned.seed, len(rows_NT))] for rows_NT in (labels_NT, score_NT))
            test = [found["auc"] for found in task_metrics(labels_NT, score_NT, config.tasks).values()]
            if planned.seed:
                more["blocks"] = deviations(labels_NT, score_NT)
        else:
            chosen = slice(None) if planned.task is None else slice(planned.task, planned.task + 1)
            _check(labels_NT, drawn.chance_NT[:, chosen])
            test = expected_aucs(score_NT, drawn.chance_NT[:, chosen])
        return planned.record(seconds, val=val, test=test, depends=depends, **more)


def depends_on(dataset: Dataset, config: RunConfig, prepared: Prepared) -> str:
    """The fingerprint of all that decides on a run's result.

    It is of the resolved config with the network's layers, of all options of the method, of the data and of the code's
    version. Real logs count by their content. Generated ones are made by the recipe, which is in the file's definition:
    another version of the writer gives them other bytes and the same rows.
    """
    run = run_depends_on(config, prepared)
    data = dataset.identity if dataset.is_redrawn else run["data"]
    return fingerprint([CODE, run | {"data": data}, repr(parse(config.train.method))])


def is_of_method(error: Exception) -> bool:
    """Whether an error is the method's own, and so a result: it diverged, or was raised under a step of `gradops`.

    Memory that is not there, or files, are the machine's; errors from elsewhere are the trial's own faults.
    """
    if isinstance(error, DivergedError):
        return True
    if isinstance(error, OSError | MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return any(_METHODS in Path(frame.filename).parents for frame in frames)


def _look(seed: int, rows: int) -> npt.NDArray[np.bool_]:
    """The half of a real log's test rows on which a seed is measured.

    Fresh seeds have the half that nothing was measured on before. A row's half is that of a fixed hash of its number.
    """
    mixed_N = np.random.default_rng(_HALVES).permutation(rows)
    look_N: npt.NDArray[np.bool_] = (mixed_N % 2 == 0) == (seed < FRESH)
    return look_N


def scores(trainer: Trainer, split: str) -> tuple[Array, Array]:
    """Labels and probabilities of a split's rows, in order."""
    trainer.model.eval()
    with torch.no_grad():
        parts = [
            (batch.labels_BT.numpy(), trainer.model(batch.bags, batch.value_BV).sigmoid().numpy())
            for batch in trainer.splits[split].in_order()
        ]
    labels_NT, score_NT = (np.concatenate(part) for part in zip(*parts, strict=True))
    return labels_NT, score_NT


def _check(labels_NT: Array, chance_NT: Array) -> None:
    """Refuse probabilities of other rows: what labels exceed them by should be noise, overall and towards high ones."""
    assert labels_NT.shape == chance_NT.shape, f"{labels_NT.shape} labels and {chance_NT.shape} probabilities"
    for label_N, chance_N in zip(labels_NT.T, chance_NT.T, strict=True):
        known_N = ~np.isnan(label_N)
        y_N, p_N = label_N[known_N].astype(np.float64), chance_N[known_N].astype(np.float64)
        for weight_N in (np.ones_like(p_N), np.log(p_N / (1 - p_N))):
            noise = float(np.sqrt((weight_N**2 * p_N * (1 - p_N)).sum()))
            assert abs(float(weight_N @ (y_N - p_N))) < _ODD * noise, "the probabilities are those of other rows"


def _values(planned: Planned, base: RunConfig, rates: list[float]) -> Mapping[str, Any]:
    """The values of the config that a run changes."""
    values: dict[str, Any] = {
        **planned.family.shared(planned.trial, base.train.table_optimizer),
        "train.method": planned.family.method(planned.trial, rates),
        "train.task_weights": planned.family.task_weights,
        "train.seed": planned.seed,
    }
    if planned.family == UNIFORM and planned.seed:
        values["train.diagnose_every"] = _COSINES_EVERY
    if planned.task is not None:
        values["train.tasks"] = (list(base.spec.tasks)[planned.task],)
    if planned.family.name == "single_task_equal":
        values |= narrowed(base)
    return values


def narrowed(config: RunConfig) -> Mapping[str, Any]:
    """Layers so narrow that T networks have at most the multiplications of the one for all tasks."""
    numbers, tasks = len(config.spec.value_features), len(config.spec.tasks)
    assert isinstance(config.model, SharedBottomConfig)
    assert config.spec.width is not None
    inputs = (len(config.spec.features) - numbers) * config.spec.width + numbers
    first, last = config.model.bottom
    most = (inputs * first + first * last + last * tasks) / tasks
    fitting = [w for w in range(2, first + 1, 2) if inputs * w + w * (w // 2) + w // 2 <= most]
    width = max(fitting, default=2)
    return {"model.bottom": (width, width // 2)}
