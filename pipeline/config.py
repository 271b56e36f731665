"""One TOML file is one :class:`RunConfig`; an unknown key is an error that names the nearest one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from features.contract import InputError
from features.spec import FeatureSpec
from gradops.base import GramianMethod
from gradops.gauge import Gauge, Measure
from gradops.methods import METHODS, parse, write
from gradops.rotation import Rotations
from models.table_optimizers import TABLE_OPTIMIZERS, choices
from pipeline.contract import ContractConfig
from pipeline.split import SplitConfig

MethodText = Annotated[str, Field(description="A method as `gradops.methods.parse` reads it.")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Section):
    """Where the raw rows are.

    Args:
        train: Parquet file, folder or glob with the rows to train on (and to split, without a holdout).
        holdout: Rows kept apart for validation and test.
        prepared: Folder that prepared data is written to.
        grow: Whether to add to the newest data prepared there from earlier days, whose ids, scales and days are kept,
            instead of learning everything anew; see :mod:`pipeline.growth`.
    """

    train: str
    holdout: str | None = None
    prepared: Path = Path("prepared")
    grow: bool = False


class ModelConfig(_Section):
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


class TrainConfig(_Section):
    """One training run.

    Args:
        method: How task gradients are combined, as ``"gradops(alpha=-2)"``.
        measure: Where conflict is measured; see :class:`gradops.Gauge`.
        gram_share: Share of a batch's rows that conflict is measured on; below 1 an approximation.
        gram_every: Steps between two measurements of conflict; above 1 an approximation.
        tasks: The tasks trained together; empty for all.
        epochs: Most passes over the training rows.
        max_steps: Stop after this many steps, wherever they end; 0 for no limit.
        batch_size: Rows a step.
        micro_batch: Rows that go through the network at a time, for the memory of large batches; 0 for all of a step's.
            The step is that of the whole batch.
        precision: Of the network's products while it trains; weights, gradients, Gram matrices and methods keep theirs.
        lr: Adam's learning rate; the highest of a one-cycle schedule.
        schedule: ``"constant"``, or ``"one_cycle"`` (a fifth of the steps up, then down to 0 along a cosine).
        patience: Epochs without a better mean validation AUC before stopping; 0 to never stop early.
        clip_norm: Longest gradient of all dense and table parameters together; 0 for no clipping.
        table_optimizer: What steps the embedding tables, by its name in :mod:`models.table_optimizers`; Adam steps the
            rest of the network.
        table_kernel: How tables are held: ``"plain"``, stepped from their gradients, or ``"fused"``, stepped inside the
            backward pass; :mod:`models.table_optimizers` says which optimizers go with it. Nothing is clipped then.
        table_lr: The tables' rate, under the same schedule; 0 for ``lr``.
        seed: Of initialisation, batch order, dropout and the method's own randomness.
        diagnose_every: Steps between two records of cosines, norms and weights.
        checkpoint_every: Steps between two checkpoints, and so the most that a killed process loses; 0 for one at the
            end of each epoch. No part of a run's identity.
        keep_checkpoints: How many of a run's newest checkpoints are kept while it trains. No part of its identity.
        threads: CPU threads; part of a run's identity, since sums in another order round differently.
        device: torch device.
    """

    method: MethodText = "uniform"
    measure: Measure = "parameters"
    gram_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    gram_every: PositiveInt = 1
    tasks: tuple[str, ...] = ()
    epochs: PositiveInt = 10
    max_steps: Annotated[int, Field(ge=0)] = 0
    batch_size: PositiveInt = 1024
    micro_batch: Annotated[int, Field(ge=0)] = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    lr: Annotated[float, Field(gt=0)] = 1e-3
    schedule: Literal["constant", "one_cycle"] = "constant"
    patience: Annotated[int, Field(ge=0)] = 0
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    table_optimizer: str = "adam"
    table_kernel: Literal["plain", "fused"] = "plain"
    table_lr: Annotated[float, Field(ge=0)] = 0.0
    seed: Annotated[int, Field(ge=0)] = 0
    diagnose_every: PositiveInt = 50
    checkpoint_every: Annotated[int, Field(ge=0)] = 1000
    keep_checkpoints: PositiveInt = 2
    threads: PositiveInt = 1
    device: str = "cpu"

    @field_validator("method")
    @classmethod
    def _is_method(cls, text: str) -> str:
        return write(parse(text))

    @field_validator("table_optimizer")
    @classmethod
    def _is_table_optimizer(cls, name: str) -> str:
        if name not in TABLE_OPTIMIZERS:
            near = get_close_matches(name, TABLE_OPTIMIZERS, n=1)
            hint = f"did you mean `{near[0]}`? " if near else ""
            raise ValueError(f"{hint}a table optimizer is one of {', '.join(TABLE_OPTIMIZERS)}")
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> TrainConfig:
        if self.measure == "features" and (self.gram_share < 1 or self.gram_every > 1):
            raise ValueError('train.gram_share and train.gram_every save nothing with measure "features"; leave them 1')
        if self.micro_batch and self.gram_share < 1:
            raise ValueError("train.micro_batch and train.gram_share exclude each other: a share is of one pass")
        return self

    @model_validator(mode="after")
    def _fits_its_kernel(self) -> TrainConfig:
        if self.table_kernel == "plain":
            return self
        problems, possible = [], choices(self.table_kernel, self.device)
        if self.table_optimizer not in possible:
            names = ", ".join(f'"{name}"' for name in possible) or "none"
            problems.append(
                f'table_kernel "fused" steps tables by a rule that fbgemm has on device "{self.device}", found '
                f'table_optimizer "{self.table_optimizer}"; possible there: {names}; with table_kernel "plain": all'
            )
        if self.clip_norm:
            problems.append(
                'table_kernel "fused" steps tables before the length of the gradient is known, found clip_norm '
                f'{self.clip_norm:g}; possible: clip_norm 0, or table_kernel "plain"'
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def gauge(self) -> Gauge:
        """How closely conflict is measured."""
        return Gauge(measure=self.measure, share=self.gram_share, every=self.gram_every)


class CompareConfig(_Section):
    """Which systems are compared; the single-task models are always among them.

    Args:
        methods: Methods as text; ``["all"]`` for every known one with its default options.
        seeds: Number of seeds, counted up from ``train.seed``.
        workers: Runs trained at the same time, each in a process of its own; 0 for one a core.
    """

    methods: Annotated[tuple[MethodText, ...], Field(min_length=1)] = ("uniform",)
    seeds: PositiveInt = 1
    workers: Annotated[int, Field(ge=0)] = 0

    @field_validator("methods")
    @classmethod
    def _are_methods(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        problems, chosen = [], []
        for text in METHODS if texts == ("all",) else texts:
            try:
                chosen.append(write(parse(text)))
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError(" ".join(problems))
        return tuple(dict.fromkeys(chosen))


class RunConfig(_Section):
    """Everything a run depends on.

    Args:
        name: Of the experiment and of the registered model.
        data: Where rows come from.
        split: How they are split.
        spec: What the columns mean.
        contract: What raw rows must keep to.
        model: The network.
        train: The run.
        compare: The comparison.
        runs: Folder that finished runs are kept in.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    data: DataConfig
    split: SplitConfig
    spec: FeatureSpec
    contract: ContractConfig = ContractConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    compare: CompareConfig = CompareConfig()
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
        methods = dict.fromkeys([self.train.method, *self.compare.methods])
        width = self.model.bottom[-1]
        problems += [problem for text in methods if (problem := _unfit(text, len(self.tasks), width))]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the run trains."""
        return self.train.tasks or tuple(self.spec.tasks)


def load(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a config; ``extends = "other.toml"`` at its top takes every key it does not set from that file.

    Args:
        path: The TOML file.
        overrides: ``section.key=value`` with a TOML value, as given to ``--set``.

    Raises:
        InputError: If the file is missing or no TOML, or holds unknown keys or wrong values. All are listed.
    """
    content = _read(path)
    for override in overrides:
        _set(content, override)
    try:
        return RunConfig.model_validate(content)
    except ValidationError as error:
        subject = f"{path}{' with its overrides' if overrides else ''}"
        raise InputError.of(subject, [_problem(e) for e in error.errors()]) from None


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


def _read(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path.resolve() in seen:
        raise InputError(f"{path} extends itself; `extends` should end at a file without it")
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); give the path of a config such as configs/census.toml"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from None
    base = content.pop("extends", None)
    if not isinstance(base, str | None):
        raise InputError(f"{path}: `extends` is the path of another config in quotes, found {base!r}")
    return content if base is None else _merged(_read(path.parent / base, (*seen, path.resolve())), content)


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        merged[key] = _merged(base[key], value) if both else value
    return merged


def _set(content: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals:
        raise InputError(f"--set takes section.key=value, found `{override}`")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, key = path.strip().split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise InputError(f"--set {override}: `{section}` is a value, not a section")
    content[key] = value


def _problem(error: ErrorDetails) -> str:
    # pydantic names the chosen kind of a feature in the location; the file does not.
    location = [part for i, part in enumerate(error["loc"]) if (i, error["loc"][:2]) != (3, ("spec", "features"))]
    where = ".".join(map(str, location))
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] != "extra_forbidden":
        found = f", found {error['input']!r}" if isinstance(error["input"], str | int | float) else ""
        return f"{where}: {message}{found}" if where else message
    known = _keys(RunConfig, error["loc"][:-1])
    near = get_close_matches(str(location[-1]), known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
    return f"{where}: unknown key; {hint}"


def _keys(kind: Any, location: Sequence[int | str]) -> list[str]:
    """Field names of the model at a location; of every member where it is a union or a mapping of models."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if location and location[0] in kind.model_fields:
            return _keys(kind.model_fields[str(location[0])].annotation, location[1:])
        return list(kind.model_fields)
    return list(dict.fromkeys(name for member in get_args(kind) for name in _keys(member, location[1:])))
