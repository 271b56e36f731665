"""The work of ranks in the tests of sharded steps; imported once and then forked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import start_processes
from torch.optim.lr_scheduler import LambdaLR

from features.encoder import EncodedValue, Table
from gradops import GramEstimator, Microbatch, MultiTaskOptimizer, Ranks
from gradops.methods import parse
from gradops.rotation import Rotations
from models.architectures import ARCHITECTURES
from models.architectures.base import Architecture
from models.embedding.base import Embedding
from models.embedding.cut import Bags, TableCut
from models.embedding.row_average import RowAverage
from models.embedding.sharded import ShardedEmbedding
from models.embedding.sharded_optimizer import ShardedOptimizer
from models.embedding.sharding_kinds import Kind, Sharding
from models.loss import cross_entropy, label_weights, shares_of
from models.table_optimizers.joint_optimizer import JointOptimizer
from tests.models import networks

# Three widths, a table that two features read, and fewer rows than some worlds have ranks.
TABLES = [Table("a", 41, 8, ("a",)), Table("b", 5, 8, ("b", "c")), Table("d", 3, 4, ("d",)), Table("e", 60, 12, ("e",))]
BATCH, STEPS = 48, 5
# By how many ranks there are: uneven ones, and one without rows.
ROWS = {1: [48], 2: [29, 19], 4: [20, 0, 17, 11]}
# Rates large enough for a step to show.
DECAY = 0.6  # of the tables' average
LR, TABLE_LR = 0.2, {"sgd": 5.0, "adagrad": 0.1, "rowwise_adagrad": 0.1}


@dataclass(frozen=True)
class Case:
    """Some steps that all ranks take together.

    Args:
        name: Of the test.
        kinds: What each table is.
        rule: The tables' optimizer.
        method: How gradients are combined.
        pooling: ``"sum"``, ``"mean"`` by entry weights, or ``"weighted"`` by any.
        estimator: How conflict is measured.
        piece: Rows of a micro-batch; 0 for all.
        doubled: Whether the network is in float64: GradDrop's draws are of the type of the gradients, and PCGrad's
            quotients magnify float32 rounding.
        architecture: What stands on the tables.
        encoded: The numbers that it encodes.
        members: Members of an ensemble.
        dense_below: Weights of a copied table whose whole gradient is sent.
        broken: What is done wrongly, to be found.
    """

    name: str
    kinds: Mapping[str, Kind]
    rule: str = "sgd"
    method: str = "gradops(alpha=-2.0)"
    pooling: str = "sum"
    estimator: GramEstimator = field(default_factory=GramEstimator)
    piece: int = 0
    doubled: bool = False
    architecture: str = "shared_bottom"
    encoded: tuple[EncodedValue, ...] = ()
    members: int = 1
    dense_below: int = 1000
    broken: str = ""


@dataclass(frozen=True)
class Outcome:
    """Where steps have led.

    Args:
        weights_ST: The methods' weights of each step.
        losses_ST: The losses of each step.
        state: The network's weights, and the tables by their names.
        averages: The moving averages of the tables, by their names.
    """

    weights_ST: Tensor
    losses_ST: Tensor
    state: dict[str, Tensor]
    averages: dict[str, Tensor]


def bags(seed: int, pooling: str) -> Bags:
    """Zero to three ids a bag out of so few rows that every rank reads most of them."""
    generator = torch.Generator().manual_seed(seed)
    rows_F = [table.rows for table in TABLES for _ in table.features]
    lengths_FB = torch.randint(0, 4, (len(rows_F), BATCH), generator=generator)
    entries_F = lengths_FB.sum(1).tolist()
    ids_N = torch.cat([torch.randint(0, r, (n,), generator=generator) for r, n in zip(rows_F, entries_F, strict=True)])
    lengths_FB = lengths_FB.flatten()
    weights = {
        "sum": None,
        "mean": (1 / lengths_FB).repeat_interleave(lengths_FB),
        "weighted": torch.rand(len(ids_N), generator=generator),
    }
    return Bags(ids_N, lengths_FB, weights[pooling])


def part_of(whole: Bags, rows: slice) -> Bags:
    """The bags of some rows."""
    example_F1B = torch.arange(BATCH).expand(len(whole.lengths_FB) // BATCH, BATCH)
    example_N = example_F1B.flatten().repeat_interleave(whole.lengths_FB)
    mine_N = (example_N >= rows.start) & (example_N < rows.stop)
    weight_N = None if whole.weight_N is None else whole.weight_N[mine_N]
    return Bags(whole.ids_N[mine_N], whole.lengths_FB.view(-1, BATCH)[:, rows].flatten(), weight_N)


def tables(case: Case) -> list[Table]:
    """Those of a case's network: an architecture may give tasks tables of their own."""
    return ARCHITECTURES[case.architecture].example().tables(TABLES, networks.NAMES)


def kinds(case: Case) -> dict[str, Kind]:
    """What each of them is: a task's own is what the shared one is."""
    return {table.name: case.kinds[table.name.partition("-")[0]] for table in tables(case)}


def network(case: Case, embedding: Embedding) -> Architecture:
    example = ARCHITECTURES[case.architecture].example()
    rotation, config = parse(case.method).rotation, example.model_copy(update={"ensemble": case.members})
    rotations = None
    if rotation is not None:
        assert config.head_width is not None
        rotations = Rotations(rotation, tasks=networks.TASKS, width=config.head_width)
    model = config.build(
        embedding, values=networks.VALUES, tasks=networks.NAMES, head_transform=rotations, encoded=case.encoded
    )
    model.initialise(torch.Generator().manual_seed(1), embedding_std=0.5)
    with torch.no_grad():
        for parameter in above_tables(model):
            parameter.mul_(3)  # gradients that reach the tables at full size
    return model


def above_tables(model: Architecture) -> list[torch.nn.Parameter]:
    below = {id(table) for table in model.embedding.parameters()}
    return [parameter for parameter in model.network_parameters() if id(parameter) not in below]


def schedule(step: int) -> float:
    """Kernels must follow it, though they take their rate in the forward pass."""
    return 0.8**step


def run(rank: int, world: int, cases: Sequence[Case], folder: Path) -> None:
    """All cases on one rank; the first rank leaves the outcomes in a file."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    assert_differences_are_refused(rank, world)
    outcomes = {case.name: sharded_steps(case, rank, world) for case in cases}
    if rank == 0:
        torch.save(outcomes, folder / "outcomes")
    dist.destroy_process_group()


def on_ranks(world: int, cases: Sequence[Case], folder: Path) -> dict[str, Outcome]:
    """The outcomes of cases on real processes."""
    get_context("forkserver").set_forkserver_preload([__name__])  # torchrec is imported once, not by every rank
    start_processes(run, (world, cases, folder), world, start_method="forkserver")
    outcomes: dict[str, Outcome] = torch.load(folder / "outcomes", weights_only=False)
    return outcomes


def sharded_steps(case: Case, rank: int, world: int) -> Outcome:
    """The steps of one rank, which has some rows of every batch."""
    rows = ROWS[world]
    mine = slice(sum(rows[:rank]), sum(rows[: rank + 1]))
    embedding = ShardedEmbedding(
        tables(case),
        case.rule,
        Sharding(kinds=kinds(case)),
        weighted=case.pooling != "sum",
        drawn_at_once=256,  # tables are drawn in several pieces
        dense_below=case.dense_below,
    )
    assert_spread(case, embedding, world)
    model = network(case, embedding)
    if case.doubled:
        for parameter in above_tables(model):
            parameter.data = parameter.data.double()
    if case.broken == "scale":
        assert embedding._divided is not None
        embedding._divided._ranks = 1
    optimizer = optimizer_of(case, model, [ShardedOptimizer(embedding, TABLE_LR[case.rule])], Ranks(checked=True))
    following, average = LambdaLR(optimizer, schedule), RowAverage(embedding, DECAY)
    reports = []
    for step in range(STEPS):
        average.before(model.bags_of_tables(part_of(bags(step, case.pooling), mine)))
        cut = model.cut(part_of(bags(step, case.pooling), mine))
        if case.broken == "owners":
            cut = replace(cut, owners=None)
        reports.append(optimizer.step(parts(case, model, cut, step, mine), pooled=cut))
        average.after(step + 1)
        following.step()
    network_state = without_tables(model)
    assert_equal_on_ranks(network_state, world)
    weights, losses = (torch.stack([getattr(r, name) for r in reports]) for name in ("weights_T", "losses_T"))
    whole = embedding.whole_state()
    whole_tables = tables_of(case, whole) if rank == 0 else {}
    assert average.state_dict()["tables"].keys() == set(range(len(tables(case))))
    average.add(STEPS)
    averages = embedding.whole_state()
    return Outcome(weights, losses, network_state | whole_tables, tables_of(case, averages) if rank == 0 else {})


def without_tables(model: Architecture) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in model.named_parameters() if not k.startswith("embedding.")}


def optimizer_of(case: Case, model: Architecture, of_tables: Sequence[torch.optim.Optimizer], group: Any) -> Any:
    stepped = {id(table) for table in model.embedding.tables()}
    sgd = torch.optim.SGD([p for p in model.network_parameters() if id(p) not in stepped], lr=LR)
    rotations = model.head_transform if isinstance(model.head_transform, Rotations) else None
    return MultiTaskOptimizer(
        JointOptimizer([sgd, *of_tables]),
        parse(case.method),
        shared=model.shared_parameters(),
        estimator=case.estimator,
        rotations=rotations,
        group=group,
    )


def parts(case: Case, model: Architecture, cut: TableCut, step: int, mine: slice) -> Iterator[Microbatch]:
    """This rank's rows, at least one piece of them even if there are none."""
    weight_BT = label_weights(labels(step)[mine])
    share_BT = shares_of(weight_BT, *Ranks().sum([weight_BT.sum(0)]))
    size = case.piece or BATCH
    for start in range(0, max(mine.stop - mine.start, 1), size):
        rows = slice(start, start + size)
        leaf_BE, own_BX = cut.piece(rows)
        logits_BT, views = model.through(leaf_BE, values(step)[mine][rows].to(above_tables(model)[0]), own_BX)
        yield Microbatch(
            cross_entropy(logits_BT, labels(step)[mine][rows].to(logits_BT), share_BT[rows]), views, leaf_BE
        )


def values(step: int) -> Tensor:
    return networks.values(BATCH, step).float()


def labels(step: int) -> Tensor:
    """The third task has labels on the first rows only: on most ranks, none."""
    labels_BT = networks.labels(BATCH, step)
    labels_BT[16:, 2] = float("nan")
    return labels_BT


def assert_differences_are_refused(rank: int, world: int) -> None:
    equal = torch.tensor([0.5, float("nan")])
    Ranks(checked=True).confirm("weights", equal)
    Ranks().confirm("weights", torch.tensor([1.0 + rank]))  # nobody asked
    if world > 1:
        with pytest.raises(RuntimeError, match="weights should be equal on all ranks"):
            Ranks(checked=True).confirm("weights", torch.tensor([1.0, 1.0 + 1e-7 * rank]))


def assert_spread(case: Case, embedding: ShardedEmbedding, world: int) -> None:
    """No rank holds a whole table that was to be divided, and none is held twice."""
    for table in tables(case):
        held = sum(shard.weights.numel() for shard in embedding.shards() if shard.table == table)
        everywhere = torch.tensor(held)
        dist.all_reduce(everywhere)
        kind, whole = Sharding(kinds=kinds(case)).kind(table, world), table.rows * table.width
        assert int(everywhere) == whole * (world if kind == "data_parallel" else 1)
        assert held < whole or world == 1 or kind in ("data_parallel", "table_wise") or table.width == 4


def assert_equal_on_ranks(state: dict[str, Tensor], world: int) -> None:
    """To the bit: ranks that drift apart do so slowly."""
    everybody: list[Any] = [None] * world
    dist.all_gather_object(everybody, state)
    for name, value in state.items():
        assert all(torch.equal(value, other[name]) for other in everybody), f"{name} differs between ranks"


def tables_of(case: Case, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tables in an embedding's state, by their own names."""
    names = {table.name: f"collection.embedding_bags.{table.weights_name}.weight" for table in tables(case)}
    return {name: state[there].clone() for name, there in names.items()}
