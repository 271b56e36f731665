"""One TOML file is one :class:`RunConfig`, read by :mod:`pipeline.config.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveInt, field_validator, model_validator

from features.declared import Declared
from features.spec import FeatureSpec
from gradops.base import GramianMethod
from gradops.methods import parse
from gradops.rotation import Rotations
from models.embedding.sharding import Kind, Sharding
from pipeline.config.contract import ContractConfig
from pipeline.config.daily import DailyConfig
from pipeline.config.gate import GateConfig
from pipeline.config.search import SearchConfig
from pipeline.config.split import SplitConfig
from pipeline.config.train import MethodText, TrainConfig, chosen_methods


class DataConfig(Declared):
    """Where the raw rows are.

    Args:
        train: Parquet file, folder or glob with the rows to train on (and to split, without a holdout).
        holdout: Rows kept apart for validation and test.
        prepared: Folder that prepared data is written to.
        grow: Whether to add to the newest data prepared there from earlier days, whose ids, scales and days are kept,
            instead of learning everything anew; see :mod:`pipeline.data.incremental`.
        since: First day that is read of files below ``dt=2026-01-31`` folders; all days without one.
        until: Last such day.
        without: Such days that are left out.
    """

    train: str
    holdout: str | None = None
    prepared: Path = Path("prepared")
    grow: bool = False
    since: date | None = None
    until: date | None = None
    without: tuple[date, ...] = ()

    @model_validator(mode="after")
    def _in_order(self) -> DataConfig:
        if self.since and self.until and self.since > self.until:
            raise ValueError(f"data.since should not be after data.until, found {self.since} and {self.until}")
        return self

    def reads(self, day: date | None) -> bool:
        """Whether a file is read, by its day; one below no folder of a day always is."""
        return day is None or ((self.since or day) <= day <= (self.until or day) and day not in self.without)


class ModelConfig(Declared):
    """The shared-bottom network; the defaults are the GradOPS paper's.

    Args:
        bottom: Units of each shared layer.
        tower: Units of each hidden layer of a task's tower; empty for one linear layer.
        dropout: Dropout of the shared layers.
        embedding_std: Standard deviation of the tables' normal initialisation.
    """

    bottom: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (192, 192)
    tower: tuple[PositiveInt, ...] = ()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    embedding_std: Annotated[float, Field(gt=0)] = 0.05


class CompareConfig(Declared):
    """Which systems are compared; the single-task models are always among them.

    Args:
        methods: Methods as text; ``["all"]`` for every known one with its default options.
        seeds: Number of seeds, counted up from ``train.seed``.
        boosting: Whether gradient boosting, one model a task, stands beside them; see
            :mod:`pipeline.comparison.boosting`.
        workers: Runs trained at the same time, each in a process of its own; 0 for one a core.
    """

    methods: Annotated[tuple[MethodText, ...], Field(min_length=1)] = ("uniform",)
    seeds: PositiveInt = 1
    boosting: bool = True
    workers: Annotated[int, Field(ge=0)] = 0

    @field_validator("methods")
    @classmethod
    def _are_methods(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return chosen_methods(texts)


class ShardingConfig(Declared):
    """How several ranks share the tables; see :class:`models.embedding.sharding.Sharding`. No part of a run's identity.

    Args:
        row_wise_from: Weights from which on a table's rows are divided among all ranks.
        data_parallel_below: Weights below which every rank has a copy of the table.
        kinds: By a table's name, what it is whatever its size.
    """

    row_wise_from: Annotated[int, Field(ge=0)] = Sharding.row_wise_from
    data_parallel_below: Annotated[int, Field(ge=0)] = Sharding.data_parallel_below
    kinds: dict[str, Kind] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_together(self) -> ShardingConfig:
        self.plan()
        return self

    def plan(self) -> Sharding:
        """What places the tables."""
        return Sharding(**dict(self))


class RunConfig(Declared):
    """Everything a run depends on.

    Args:
        name: Of the experiment and of the registered model.
        data: Where rows come from.
        split: How they are split.
        spec: What the columns mean.
        contract: What raw rows must keep to.
        model: The network.
        train: The run.
        sharding: How several ranks share the tables.
        compare: The comparison.
        search: The search for the trade-off curve.
        daily: The scheduled job.
        gate: What a model has to show before it serves.
        runs: Folder that finished runs are kept in.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    data: DataConfig
    split: SplitConfig
    spec: FeatureSpec
    contract: ContractConfig = ContractConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    sharding: ShardingConfig = ShardingConfig()
    compare: CompareConfig = CompareConfig()
    search: SearchConfig = SearchConfig()
    daily: DailyConfig = DailyConfig()
    gate: GateConfig = GateConfig()
    runs: Path = Path("runs")

    @model_validator(mode="after")
    def _fits_together(self) -> RunConfig:
        problems = [
            f"train.tasks names `{t}`, which is not a task" for t in self.train.tasks if t not in self.spec.tasks
        ]
        problems += [
            f"contract.leaks_allowed names `{f}`, which is not a feature"
            for f in self.contract.leaks_allowed
            if f not in self.spec.features
        ]
        total = sum(self.split.shares.values()) if self.split.key else 0.5
        if self.data.holdout and self.split.time:
            problems.append("split.time leaves no use for data.holdout; give one of the two")
        elif self.data.holdout and abs(total - 1) > 1e-9:
            problems.append(f"split.validation + split.test should be 1 of the holdout, found {total:g}")
        if not self.data.holdout and total >= 1:
            problems.append(f"split.validation + split.test should leave rows to train on, found {total:g}")
        problems += [
            f"search.not_below_single_task names `{t}`, which is not a task that is trained"
            for t in self.search.not_below_single_task
            if t not in self.tasks
        ]
        methods = dict.fromkeys([self.train.method, *self.compare.methods, *self.search.methods])
        width = self.model.bottom[-1]
        problems += [problem for text in methods if (problem := _unfit(text, len(self.tasks), width))]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the run trains."""
        return self.train.tasks or tuple(self.spec.tasks)

    def changed(self, values: Mapping[str, Any]) -> RunConfig:
        """The config with other values at some keys, as ``{"train.lr": 3e-4}``, and checked again.

        Raises:
            KeyError: If there is no such key.
            ValueError: If a value is not one that the key takes.
        """
        content = self.model_dump()
        for key, value in values.items():
            *sections, name = key.split(".")
            part = content
            for section in sections:
                part = part[section]
            part[name]  # a KeyError here, not an unknown key there
            part[name] = value
        return RunConfig.model_validate(content)


def _unfit(text: str, tasks: int, width: int) -> str | None:
    """Why a method does not fit so many tasks or so wide a representation; found by trying it on one step."""
    method = parse(text)
    try:
        state = method.init(tasks, torch.Generator())
        if isinstance(method, GramianMethod):
            method.weights(torch.eye(tasks), torch.ones(tasks), state)
        if method.rotation is not None:
            Rotations(method.rotation, tasks=tasks, width=width)
    except ValueError as error:
        return f"method `{text}` does not fit {tasks} task(s) and a representation of {width}: {error}"
    return None
