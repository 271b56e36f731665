"""One TOML file is one :class:`RunConfig`, read by :mod:`pipeline.config.toml`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    PositiveInt,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from features.declared import Declared
from features.nearest import did_you_mean
from features.spec import FeatureSpec
from models.embedding.sharding_kinds import Kind, Sharding
from pipeline.config.contract import ContractConfig
from pipeline.config.daily import DailyConfig
from pipeline.config.gate import GateConfig
from pipeline.config.names import ARCHITECTURE_NAMES, Resolver, known_methods, known_name, resolver_of
from pipeline.config.search import SearchConfig
from pipeline.config.split import SplitConfig
from pipeline.config.train import MethodText, TrainConfig
from pipeline.files.days import DayKeys
from pipeline.files.partitions import PartitionType

# Equal to :data:`models.architectures.base_config.DEFAULT_KIND`, whose module needs torch; a test compares the two.
DEFAULT_KIND = "shared_bottom"


class DataConfig(Declared):
    """The raw rows.

    Args:
        train: Parquet file, folder or glob with the rows to train on (and to split, without a holdout).
        holdout: Rows kept apart for validation and test.
        prepared: Folder for prepared data.
        grow: Whether to add to the newest data prepared there from earlier days, whose ids, scales and days are kept,
            instead of learning everything anew; see :mod:`pipeline.data.incremental`.
        since: First day to read of files below ``dt=2026-01-31`` folders; by default all days are read.
        until: Last such day to read.
        without: Such days to leave out.
        partitions: Keys of ``key=value`` folders that become columns, each with its type.
        day: Key of the folders that name the day, or the three keys of year, month and day; an empty list for none. By
            default the usual ones; see :class:`pipeline.files.days.DayKeys`.
    """

    train: str
    holdout: str | None = None
    prepared: Path = Path("prepared")
    grow: bool = False
    since: date | None = None
    until: date | None = None
    without: tuple[date, ...] = ()
    partitions: dict[str, PartitionType] = Field(default_factory=dict)
    day: str | tuple[str, ...] | None = None

    @field_validator("day")
    @classmethod
    def _are_keys(cls, keys: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if isinstance(keys, tuple) and len(keys) not in (0, 1, 3):
            raise ValueError("a day is named by one key or by three, of year, month and day; or by none: []")
        return keys

    @model_validator(mode="after")
    def _in_order(self) -> DataConfig:
        if self.since and self.until and self.since > self.until:
            raise ValueError(f"data.since should not be after data.until, found {self.since} and {self.until}")
        return self

    @property
    def days(self) -> DayKeys:
        """The keys that name the day of a file."""
        return DayKeys((self.day,) if isinstance(self.day, str) else self.day)

    def reads(self, day: date | None) -> bool:
        """Whether a file of this day is read; a file without a day always is."""
        return day is None or ((self.since or day) <= day <= (self.until or day) and day not in self.without)


class ModelConfig(Declared):
    """The section ``[model]`` as it is written; its other keys belong to the architecture's own ``Config``.

    Args:
        kind: The architecture, by the name of its file in :mod:`models.architectures`.
    """

    model_config = ConfigDict(extra="allow")

    kind: str = DEFAULT_KIND

    @field_validator("kind")
    @classmethod
    def _is_architecture(cls, kind: str) -> str:
        return known_name(kind, ARCHITECTURE_NAMES, "an architecture")


class CompareConfig(Declared):
    """The systems of a comparison; the single-task models are always among them.

    Args:
        methods: Methods as text; ``["all"]`` for every known one with its default options.
        seeds: Number of seeds, counted up from ``train.seed``.
        boosting: Whether gradient boosting, one model a task, is compared too; see
            :mod:`pipeline.comparison.boosting`.
        candidates: What may become a version of the registered model beside the methods' networks: ``"bundle"``, the
            single-task networks as one model; ``"boosting"``, the boosted trees; ``"ensemble"``, a greedy ensemble of
            all runs of the comparison.
        ensemble_members: The largest number of members of a task's ensemble, those counted twice that are taken twice.
        workers: Number of runs trained at the same time, each in its own process; 0 for one run a core.
    """

    methods: Annotated[tuple[MethodText, ...], Field(min_length=1)] = ("uniform",)
    seeds: PositiveInt = 1
    boosting: bool = True
    candidates: tuple[Literal["bundle", "boosting", "ensemble"], ...] = ()
    ensemble_members: PositiveInt = 20
    workers: Annotated[int, Field(ge=0)] = 0

    @field_validator("methods")
    @classmethod
    def _are_methods(cls, texts: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return known_methods(texts, info)

    @model_validator(mode="after")
    def _has_what_is_served(self) -> CompareConfig:
        if "boosting" in self.candidates and not self.boosting:
            raise ValueError('compare.candidates names "boosting", which compare.boosting = false leaves out')
        return self


class ShardingConfig(Declared):
    """The sharding of tables over ranks, as :class:`models.embedding.sharding_kinds.Sharding`.

    It is no part of a run's identity.

    Args:
        row_wise_from: Number of weights from which a table's rows are divided among all ranks; by default 4 million of
            tables that are not copied.
        data_parallel_below: Number of weights below which every rank has a copy of the table; by default 20 million on
            up to four ranks, and 10,000 on more, but never beyond ``row_wise_from``.
        kinds: Table name to its kind, whatever its size.
    """

    row_wise_from: Annotated[int, Field(ge=0)] | None = None
    data_parallel_below: Annotated[int, Field(ge=0)] | None = None
    kinds: dict[str, Kind] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_together(self) -> ShardingConfig:
        self.plan()
        return self

    def plan(self) -> Sharding:
        """The sharding in the embedding's own type."""
        return Sharding(**dict(self))


class RunConfig(Declared):
    """Everything a run depends on.

    Args:
        name: Name of the experiment and of the registered model.
        data: The raw rows.
        split: Their split into training, validation and test.
        spec: The features and the tasks.
        contract: Rules for raw rows.
        model: The network: a :class:`ModelConfig`, or, where a resolver was given, the architecture's own ``Config``.
        train: The training.
        sharding: The sharding of tables over ranks.
        compare: The comparison.
        search: The search for the trade-off curve.
        daily: The scheduled job.
        gate: The requirements for a model that is to serve.
        runs: Folder of finished runs.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    data: DataConfig
    split: SplitConfig
    spec: FeatureSpec
    contract: ContractConfig = ContractConfig()
    model: SerializeAsAny[Declared] = ModelConfig()
    train: TrainConfig = TrainConfig()
    sharding: ShardingConfig = ShardingConfig()
    compare: CompareConfig = CompareConfig()
    search: SearchConfig = SearchConfig()
    daily: DailyConfig = DailyConfig()
    gate: GateConfig = GateConfig()
    runs: Path = Path("runs")

    @field_validator("model", mode="before")
    @classmethod
    def _as_declared(cls, written: Any, info: ValidationInfo) -> Declared:
        resolver = resolver_of(info)
        if isinstance(written, Declared) and resolver is None:
            return written
        model = ModelConfig.model_validate(written.model_dump() if isinstance(written, Declared) else written)
        return model if resolver is None else resolver.architecture(model.model_dump())

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> RunConfig:
        problems = [
            f"train.tasks names `{t}`, which is not a task" for t in self.train.tasks if t not in self.spec.tasks
        ]
        problems += [
            f"contract.{key} names `{f}`, which is not a feature"
            for key in ("leaks_allowed", "unknown_allowed")
            for f in getattr(self.contract, key)
            if f not in self.spec.features
        ]
        problems += [f"spec.tasks.{name}.{p}" for name, task in self.spec.tasks.items() for p in task.beyond_its_row]
        total = sum(self.split.shares.values()) if self.split.has_shares else 0.5
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
        problems += self._unselectable()
        problems += self._unknown_tables()
        if resolver := resolver_of(info):
            methods = dict.fromkeys([self.train.method, *self.compare.methods, *self.search.methods])
            problems += [p for text in methods if (p := resolver.unfit(text, len(self.tasks), self.model))]
            problems += resolver.unmeasurable(self.model, self.tasks, methods, self.train.measure)
            problems += resolver.misnamed(self.model, tuple(self.spec.tasks))
            if self.train.dropout_schedule != "constant" and not getattr(self.model, "dropout", 0):
                problems.append(
                    'train.dropout_schedule changes model.dropout, which is 0: give it, or leave "constant"'
                )
            if self.train.calibration != "none" and getattr(self.model, "conditional", False):
                problems.append(
                    "train.calibration changes the tasks' probabilities, of which model.conditional gives quotients: "
                    'set `conditional = false` or `calibration = "none"`'
                )
            unread = resolver.unread_encodings(self.model, self.spec.value_encodings)
            problems += [f'model.encoding.{e} is set, but no numeric feature has `encoding = "{e}"`' for e in unread]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _unknown_tables(self) -> Iterator[str]:
        """The tables that ``[train.ids]`` names and no feature reads."""
        tables = [self.spec.table(name) for name in self.spec.id_features]
        for name in self.train.ids:
            if name not in tables:
                near = did_you_mean(name, dict.fromkeys(tables), "the tables")
                yield f"train.ids names `{name}`, which is no table of the features; {near}"

    def _unselectable(self) -> Iterator[str]:
        """The reasons why no epoch could be chosen by ``train.select_by``."""
        selection = self.train.selection
        if selection.task and selection.task not in self.tasks:
            near = did_you_mean(selection.task, self.tasks, "the tasks that are trained")
            yield f"train.select_by names `{selection.task}`, which is not a task that is trained; {near}"
        if selection.metric.name == "gauc" and not self.spec.group:
            yield "train.select_by is `gauc`, the AUC within groups, and `spec.group` names no column to group by"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the run trains."""
        return self.train.tasks or tuple(self.spec.tasks)

    def changed(self, values: Mapping[str, Any], resolver: Resolver | None = None) -> RunConfig:
        """The config with other values at some keys, as in ``{"train.lr": 3e-4}``, checked again.

        Args:
            values: Key to value; without a resolver, methods have to be in their written form.
            resolver: Also checks the options of methods and of the architecture.

        Raises:
            KeyError: If a key is unknown.
            ValueError: If a key does not take its value.
        """
        content = self.model_dump()
        if not any(key.startswith("model.") for key in values):
            content["model"] = self.model  # as it was resolved
        for key, value in values.items():
            *sections, name = key.split(".")
            part = content
            for section in sections:
                part = part[section]
            part[name]  # a KeyError here, not an unknown key there
            part[name] = value
        return RunConfig.model_validate(content, context={"resolver": resolver})
