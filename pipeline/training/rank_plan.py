"""The plan of a run on several ranks: what a rank holds, what it sends, and how long a step is expected to take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch

from features.errors import InputError
from gradops.base import GramianMethod
from gradops.methods import parse
from models.embedding.cut import Bags
from models.embedding.portable import PortableEmbedding
from models.embedding.sharding_kinds import Kind
from pipeline.config.run import RunConfig
from pipeline.data.batches import Batches
from pipeline.data.prepared import Prepared
from pipeline.runs.run import architecture_of, tables_of
from pipeline.runtime.cores import available_cores
from pipeline.training.exchanges import Exchange, StepShape
from pipeline.training.footprint import Footprint
from pipeline.training.rank_probe import Costs, measured

WORTH = 1.05  # times the rows a second of one process, below which ranks are not worth starting


@dataclass(frozen=True)
class RankPlan:
    """A run on several ranks.

    Args:
        ranks: Their number.
        batch: Rows of a batch of all ranks.
        kinds: The kind of each table by its name.
        holds: Bytes that the first rank holds; it also writes the file of whole tables.
        exchanges: The exchanges of a step.
        costs: The measured costs.
        crowded: Number of threads of ranks to a processor, at least 1.
    """

    ranks: int
    batch: int
    kinds: Mapping[str, Kind]
    holds: Footprint
    exchanges: Sequence[Exchange]
    costs: Costs
    crowded: float

    @property
    def sent(self) -> float:
        """Bytes that leave a rank in a step."""
        return sum(one.often * one.leaving(self.ranks) for one in self.exchanges)

    @property
    def exchanging(self) -> float:
        """Seconds of a step's exchanges, one after another."""
        return sum(one.often for one in self.exchanges) * self.costs.latency + self.sent / self.costs.bandwidth

    @property
    def step(self) -> float:
        """Seconds of a step of all ranks."""
        return self.crowded * (self.costs.rank + self.exchanging)

    @cached_property
    def times(self) -> float:
        """Rows a second of all ranks, those of one process being 1."""
        return self.costs.alone / self.step

    @property
    def sentence(self) -> str:
        """The expectation, and what follows from it."""
        advice = "" if self.times >= WORTH else ": stay with one process, unless its memory is too small"
        return (
            f"{self.ranks} ranks are expected to do {self.times:.2f} times the rows a second of one process "
            f"(a step of {1000 * self.step:,.1f} instead of {1000 * self.costs.alone:,.1f} ms){advice}"
        )

    def as_data(self) -> dict[str, Any]:
        """The plan in JSON's types."""
        exchanges = [asdict(one) | {"leaving": one.leaving(self.ranks)} for one in self.exchanges]
        expected = {"step": self.step, "exchanging": self.exchanging, "sent": self.sent, "times": self.times}
        whole = {"ranks": self.ranks, "batch": self.batch, "kinds": dict(self.kinds), "holds": asdict(self.holds)}
        return whole | {"exchanges": exchanges, "costs": asdict(self.costs), **expected, "sentence": self.sentence}


def plan_of(config: RunConfig, prepared: Prepared, ranks: int, bandwidth: float | None = None) -> RankPlan:
    """Plan a run; its costs are measured on this machine, for some seconds.

    Args:
        config: The run.
        prepared: Its data.
        ranks: Number of ranks.
        bandwidth: Bytes a second that leave a rank, where every rank has processors of its own; None for ranks on this
            machine.

    Raises:
        InputError: If ranks cannot share the run's tables, or are more than the rows of a batch.
    """
    _check(config, ranks)
    shape = shape_of(config, prepared, ranks)
    costs = measured(config, _of_two(config, shape), prepared)
    if bandwidth is not None:
        costs = Costs(costs.alone, costs.rank, costs.latency, bandwidth)
    crowded = max(ranks * config.train.threads / available_cores(), 1.0) if bandwidth is None else 1.0
    holds = Footprint.on_ranks(config, prepared, shape.tables, 1, ranks)
    return RankPlan(ranks, config.train.batch_size, shape.kinds, holds, shape.exchanges(), costs, crowded)


def shape_of(config: RunConfig, prepared: Prepared, ranks: int) -> StepShape:
    """The sizes of a step; what a rank reads is counted in its rows of the first batch."""
    encoder = prepared.encoder()
    tables, tasks = tables_of(config, encoder), list(config.tasks)
    with torch.device("meta"):
        model = architecture_of(config).build(
            PortableEmbedding(tables),
            values=len(config.spec.value_features),
            tasks=tasks,
            encoded=encoder.encoded_values(),
        )
    below = {id(table) for table in model.embedding.tables()}
    network = sum(p.numel() for p in model.network_parameters() if id(p) not in below)
    bags, rows = _read(config, prepared, ranks)
    every = model.bags_of_tables(bags).entries(len(model.embedding.layout.widths))
    entries = _by_table([table.name for table in tables for _ in table.features], every)
    row_N = model.shared_layout.row_N(bags).unique()
    number_N = torch.bucketize(row_N, torch.tensor(model.shared_layout.starts()[1:]), right=True)
    width_N = torch.tensor([table.width for table in tables])[number_N]
    return StepShape(
        ranks=ranks,
        rows=config.train.batch_size / ranks,
        tasks=len(tasks),
        shared=sum(p.numel() for p in model.shared_parameters()),
        network=network,
        tables=tables,
        kinds=config.sharding.plan().kinds_of(tables, ranks),
        entries={name: number / rows for name, number in entries.items()},
        distinct={width: int((width_N == width).sum()) for width in sorted({*model.shared_layout.widths})},
        features=len(model.shared_layout.widths),
        weighted=bags.weight_N is not None,
        apart=_apart(config),
    )


def _by_table(names: Sequence[str], numbers: Sequence[int]) -> dict[str, int]:
    found = dict.fromkeys(names, 0)
    for name, number in zip(names, numbers, strict=True):
        found[name] += number
    return found


def _read(config: RunConfig, prepared: Prepared, ranks: int) -> tuple[Bags, int]:
    """The bags of the first rank's rows of the first batch, and their number."""
    train = config.train
    batches = Batches(
        prepared.folder / "train",
        config.spec,
        config.tasks,
        batch_size=math.ceil(train.batch_size / ranks),
        seed=train.seed,
        shuffle_shards=train.shuffle_shards,
    )
    batch = next(batches.epoch(0))
    return batch.bags, len(batch.labels_BT)


def _apart(config: RunConfig) -> float:
    """The share of the steps that take the gradient of each task by itself, for a Gram matrix of all that is shared."""
    method, train = parse(config.train.method), config.train
    reads = isinstance(method, GramianMethod) and method.reads_gramian(None)
    return 1 / train.gram_every if reads and not method.at_features and train.measure == "parameters" else 0.0


def _of_two(config: RunConfig, shape: StepShape) -> RunConfig:
    """The run of two ranks with as many rows each as one of these ranks."""
    train = config.train.model_copy(update={"batch_size": 2 * math.ceil(shape.rows)})
    sharding = config.sharding.model_copy(update={"kinds": dict(shape.kinds)})
    return config.model_copy(update={"train": train, "sharding": sharding})


def _check(config: RunConfig, ranks: int) -> None:
    """Refuse what no plan can be made for. All problems are listed."""
    problems = []
    if config.train.table_kernel == "plain":
        problems.append('ranks share tables in fused kernels: set `train.table_kernel = "fused"`')
    if config.train.device != "cpu":
        problems.append("costs are measured on the CPU only: set `train.device` to cpu, or time a short run")
    if not 2 <= ranks <= config.train.batch_size:
        problems.append(f"ranks should be from 2 up to the rows of a batch ({config.train.batch_size}), found {ranks}")
    if problems:
        raise InputError.of("no plan can be made", problems)
