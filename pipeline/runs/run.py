"""Finished runs on disk, found again by the fingerprint of everything that they depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from features.encoder import Encoder, Table
from features.errors import InputError
from models.architectures import parse_architecture
from models.architectures.base_config import ArchitectureConfig
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.evaluation.calibration import Isotonic, Platt, parse_calibrators
from pipeline.files.atomic import durable, fingerprint

RESULT, WEIGHTS, CONFIG, PLACEMENT = "result.json", "weights.safetensors", "config.json", "placement.json"
# The file of tensors of a run of boosting, and of one that is made of others, in place of weights.
TREES, MEMBERS = "trees.safetensors", "members.safetensors"
# Raise this number when equal configs on equal data give other results: older runs are then not found.
_FORMAT = 2
# Keys about checkpoints do not change a run's result.
_SAFETY = {"checkpoint_every", "keep_checkpoints", "async_checkpoints"}
# Keys that the first runs did not have, with the values that they had unsaid: there the keys are left out, so that
# those runs are still found.
_LATER: dict[str, Any] = {
    "start_from": "",
    "weight_decay": 0.0,
    "select_by": "auc",
    "decay_schedule": "constant",
    "dropout_schedule": "constant",
    "ema": 0.0,
    "gram_smoothing": 0.0,
    "ids": {},
    "task_weights": "equal",
    "prior_bias": False,
    "keep_negatives": 1.0,
    "calibration": "none",
    "task_patience": 0,
    "task_snapshots": False,
}
# Keys of [train] to the names that they had when the first runs were made: their fingerprints have these.
_FIRST_NAMES = {"shuffle_shards": "lanes"}

Metrics = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Epoch:
    """One epoch of a run.

    Args:
        number: Counted from 0.
        step: Number of steps done at its end.
        seconds: Its training time.
        lr: Learning rate at its end.
        losses: Mean training loss of each task, in nats, before the task's weight.
        val: Validation metrics of each task.
        diagnostics: Sampled step to the step's report as named numbers.
    """

    number: int
    step: int
    seconds: float
    lr: float
    losses: dict[str, float]
    val: Metrics
    diagnostics: dict[int, dict[str, float]]

    @property
    def mean_auc(self) -> float:
        """Mean validation AUC over the tasks."""
        return mean_auc(self.val)


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        folder: Folder of its result, weights and config.
        tasks: The tasks it trained.
        method: The method that combined their gradients.
        seed: Its seed.
        best_epoch: The epoch whose weights were kept.
        val: Validation metrics of those weights.
        test: Test metrics of those weights.
        history: Every epoch.
        left_out: Features of the spec that it does not read; only boosting may leave some out.
        calibration: Task to its calibrator in JSON's types; empty without calibration. ``val`` and ``test`` are then of
            the calibrated probabilities.
        uncalibrated: The metrics that ``val`` and ``test`` would have without the calibrators, by these names; empty
            without calibration.
        snapshots: Task to its own best epoch, whose weights are its part of the model, and its ``val`` and ``test`` the
            figures; :meth:`weights_of` has the files. Empty without ``train.task_snapshots``.
        features: For each feature the rows of its data that are unknown or unseen; empty if that was not counted. See
            :func:`pipeline.data.counts.feature_counts`.
        members: Fingerprints of the runs that it is made of, beside it on disk; empty for one that was trained itself.
    """

    folder: Path
    tasks: list[str]
    method: str
    seed: int
    best_epoch: int
    val: Metrics
    test: Metrics
    history: list[Epoch] = field(repr=False)
    left_out: list[str] = field(default_factory=list)
    features: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    calibration: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    uncalibrated: dict[str, Metrics] = field(default_factory=dict, repr=False)
    snapshots: dict[str, int] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of config and data: equal ones have equal fingerprints."""
        return self.folder.name

    @property
    def architecture(self) -> ArchitectureConfig:
        """The network's architecture, as the run's own config has it: a search may change its keys from run to run."""
        return parse_architecture(json.loads((self.folder / CONFIG).read_text())["model"])

    @property
    def calibrators(self) -> list[Platt | Isotonic]:
        """The calibrator of each task, in order; empty without calibration."""
        found = parse_calibrators(self.calibration)
        return [found[task] for task in self.tasks] if found else []

    def weights_of(self, epoch: int) -> Path:
        """The file of the weights after an epoch that the run has kept."""
        return self.folder / (WEIGHTS if epoch == self.best_epoch else f"weights.epoch{epoch}.safetensors")

    def save(
        self,
        config: RunConfig,
        file: str,
        tensors: Mapping[str, Tensor],
        placement: Mapping[str, Any] = MappingProxyType({}),
        snapshots: Mapping[int, Mapping[str, Tensor]] = MappingProxyType({}),
    ) -> Run:
        """Write the run to its folder, which appears only when it is complete.

        Args:
            config: The config that was trained.
            file: Name of the file for the tensors.
            tensors: The tensors that the run leaves behind, such as its weights.
            placement: The ranks that held each table, if there were several.
            snapshots: The weights after further epochs, by the epoch's number.
        """
        with durable(self.folder) as draft:
            draft.mkdir(parents=True)
            save_file(dict(tensors), draft / file)
            for number, weights in snapshots.items():
                save_file(dict(weights), draft / self.weights_of(number).name)
            (draft / CONFIG).write_text(config.model_dump_json(indent=1))
            if placement:
                (draft / PLACEMENT).write_text(json.dumps(placement, indent=1))
            content = {k: v for k, v in asdict(self).items() if k != "folder" and (k != "members" or v)}
            (draft / RESULT).write_text(json.dumps(content, indent=1))
        return self

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read a run that :meth:`save` wrote."""
        content: dict[str, Any] = json.loads((folder / RESULT).read_text())
        return cls(folder=folder, **content | {"history": [_epoch(e) for e in content["history"]]})


def architecture_of(config: RunConfig) -> ArchitectureConfig:
    """The architecture that the section ``[model]`` of a config describes."""
    return parse_architecture(config.model.model_dump())


def tables_of(config: RunConfig, encoder: Encoder) -> list[Table]:
    """The tables of a run's network: those of the encoder, and copies where tasks have tables of their own."""
    return architecture_of(config).tables(encoder.tables(), config.tasks)


def depends_on(config: RunConfig, prepared: Prepared) -> dict[str, Any]:
    """Everything that decides a run's result."""
    excluded = _SAFETY | {key for key, unsaid in _LATER.items() if getattr(config.train, key) == unsaid}
    content = config.train.model_dump(mode="json", exclude=excluded)
    train = {_FIRST_NAMES.get(key, key): value for key, value in content.items()}
    parts = {"format": _FORMAT, "data": prepared.fingerprint}
    parts |= {"model": architecture_of(config).identity, "train": train}
    return parts | {"weights": [config.spec.tasks[task].weight for task in config.tasks]}


def differences(saved: Mapping[str, Any], present: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Every value that differs between the two sides, by its dotted name."""
    found = []
    for name in dict.fromkeys([*saved, *present]):
        there, here = saved.get(name), present.get(name)
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            found += differences(there, here, f"{prefix}{name}.")
        elif there != here:
            found.append(f"{prefix}{name}: {there!r} there, {here!r} here")
    return found


def run_folder(config: RunConfig, prepared: Prepared) -> Path:
    """The folder of the run of a config on prepared data, which may not exist yet."""
    return config.runs / fingerprint(depends_on(config, prepared))


def checkpoints_of(config: RunConfig, prepared: Prepared) -> Path:
    """The folder of the run's checkpoints until it is finished; a run's own folder holds finished runs only."""
    return config.runs / "checkpoints" / run_folder(config, prepared).name


def find_run(config: RunConfig, prepared: Prepared) -> Run | None:
    """The finished run of a config on prepared data, if there is one.

    Raises:
        InputError: If it is damaged.
    """
    return load_run(run_folder(config, prepared), WEIGHTS)


def load_run(folder: Path, file: str) -> Run | None:
    """The run in a folder, if its result, its config and its file of tensors exist.

    Raises:
        InputError: If it is damaged.
    """
    if not all((folder / part).exists() for part in (RESULT, file, CONFIG)):
        return None
    try:
        return Run.load(folder)
    except (ValueError, TypeError) as error:
        raise InputError(f"{folder / RESULT} is damaged ({error}); delete {folder} to train the run again") from error


def mean_auc(metrics: Metrics) -> float:
    """Mean AUC over the tasks."""
    return sum(m["auc"] for m in metrics.values()) / len(metrics)


def _epoch(content: dict[str, Any]) -> Epoch:
    return Epoch(**content | {"diagnostics": {int(k): v for k, v in content["diagnostics"].items()}})
