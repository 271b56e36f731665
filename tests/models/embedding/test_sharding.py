"""Sharding plans, and the refusals and state of a sharded embedding: one rank is enough to test them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.optim import SGD

from features.encoder import Table
from features.errors import InputError
from models.embedding import torchrec
from models.embedding.cut import Bags
from models.embedding.portable import PortableEmbedding
from models.embedding.sharded import ShardedEmbedding
from models.embedding.sharded_optimizer import ShardedOptimizer
from models.embedding.sharding import sharding_plan
from models.embedding.sharding_kinds import Kind, Sharding
from models.table_optimizers.joint_optimizer import JointOptimizer
from tests.models import ranks

SIZES = Sharding(row_wise_from=1000, data_parallel_below=100)
TABLES = [Table("tiny", 24, 4, ("t",)), Table("middle", 100, 8, ("m", "n")), Table("large", 125, 8, ("l",))]


@pytest.fixture
def one_rank(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_size_decides_unless_a_name_does() -> None:
    assert [SIZES.kind(table, 4) for table in TABLES] == ["data_parallel", "table_wise", "row_wise"]
    named = Sharding(row_wise_from=1000, data_parallel_below=100, kinds={"large": "data_parallel"})
    assert [named.kind(table, 4) for table in TABLES] == ["data_parallel", "table_wise", "data_parallel"]


def test_few_ranks_copy_what_many_divide() -> None:
    table = Table("users", 1_000_000, 16, ("user",))
    assert [Sharding().kind(table, ranks) for ranks in (2, 4, 5)] == ["data_parallel", "data_parallel", "row_wise"]
    assert Sharding(row_wise_from=16_000_000).kind(table, 2) == "row_wise", "what is to be divided is not copied"
    assert Sharding(data_parallel_below=20_000_000).kind(table, 5) == "data_parallel"


@pytest.mark.parametrize(("rows", "ranks", "kind"), [(4, 4, "row_wise"), (5, 4, "table_wise"), (3, 4, "table_wise")])
def test_every_rank_has_rows_of_a_divided_table(rows: int, ranks: int, kind: Kind) -> None:
    """Five rows on four ranks would be 2, 2, 1 and 0, which fbgemm does not bear."""
    assert Sharding(kinds={"few": "row_wise"}).kind(Table("few", rows, 4, ("f",)), ranks) == kind


def test_middle_tables_go_where_there_is_least() -> None:
    tables = [Table(name, rows, 4, (name,)) for name, rows in zip("abcde", [10, 90, 40, 60, 30], strict=True)]
    whole = torchrec.collection(tables, weighted=False, device=torch.device("meta"))
    plan = sharding_plan(dict.fromkeys("abcde", "table_wise"), whole, tables, 2, "cpu")
    assert [plan[table.weights_name].ranks for table in tables] == [[1], [0], [1], [1], [0]]


def test_a_plan_for_tables_that_are_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="`other`"):
        Sharding(kinds={"other": "row_wise"}).kinds_of(TABLES, 2)
    with pytest.raises(ValueError, match="from 0 up to `row_wise_from`"):
        Sharding(row_wise_from=10, data_parallel_below=11)
    with pytest.raises(ValueError, match="`kinds` should be row_wise"):
        Sharding(kinds={"large": "rows"})  # type: ignore[dict-item]  # it is what the test is about


@pytest.mark.usefixtures("one_rank")
def test_rules_that_columns_would_change_are_refused() -> None:
    """TorchRec keeps an accumulator for each part of a row, and says nothing."""
    with pytest.raises(InputError, match="`large`"):
        ShardedEmbedding(TABLES, "rowwise_adagrad", Sharding(kinds={"large": "column_wise"}))
    with pytest.raises(ValueError, match="`optimizer` should be one of"):
        ShardedEmbedding(TABLES, "lazy_adam", SIZES)
    with pytest.raises(InputError, match="`odd` is 6 wide"):
        ShardedEmbedding([Table("odd", 5, 6, ("o",))], "sgd", SIZES)


def test_without_a_process_group_it_says_so() -> None:
    with pytest.raises(ValueError, match="`processes` should be a group"):
        ShardedEmbedding(TABLES, "sgd", SIZES)


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("kind", ["row_wise", "data_parallel"])
@pytest.mark.parametrize(("unknown", "feature"), [(125, 3), (24, 0)])
def test_an_unknown_id_is_refused(kind: Kind, unknown: int, feature: int) -> None:
    """Another table follows in the memory of copies: the id would be one of its rows."""
    embedding = ShardedEmbedding(TABLES, "sgd", Sharding(kinds={"large": kind}))
    with pytest.raises(RuntimeError, match="idx < num_rows"):
        embedding(Bags(torch.tensor([unknown]), torch.eye(4, dtype=torch.int64)[feature]))


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("ids", [torch.int32, torch.int64])
def test_it_reads_as_the_portable_twin_whose_state_has_the_same_names(ids: torch.dtype) -> None:
    embedding, twin = ShardedEmbedding(TABLES, "adagrad", SIZES, weighted=True).to("cpu"), PortableEmbedding(TABLES)
    for either in (embedding, twin):
        with torch.no_grad():
            either.initialise(torch.Generator().manual_seed(0), 0.5)
    bags = Bags(
        torch.tensor([5, 23, 99, 7, 7, 124], dtype=ids),
        torch.tensor([1, 1, 1, 0, 2, 0, 0, 1], dtype=ids),
        torch.rand(6),
    )
    torch.testing.assert_close(embedding(bags), twin(bags), rtol=0, atol=1e-6)
    assert embedding.state_dict().keys() == twin.state_dict().keys()


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("rule", ["adagrad", "rowwise_adagrad"])
def test_resumed_state_goes_on(rule: str) -> None:
    """Accumulators of divided, whole and copied tables."""
    unbroken, broken = (Trained(rule) for _ in range(2))
    for step in range(3):
        unbroken.step(step)
        broken.step(step)
    resumed = Trained(rule)
    for shard, other in zip(resumed.embedding.shards(), broken.embedding.shards(), strict=True):
        shard.weights.copy_(other.weights)
    resumed.optimizer.load_state_dict(copy.deepcopy(broken.optimizer.state_dict()))
    for step in range(3, 5):
        unbroken.step(step)
        resumed.step(step)
    for shard, other in zip(resumed.embedding.shards(), unbroken.embedding.shards(), strict=True):
        assert torch.equal(shard.weights, other.weights), shard.table.name


class Trained:
    """Tables pulled towards zero."""

    def __init__(self, rule: str) -> None:
        self.embedding = ShardedEmbedding(ranks.TABLES, rule, Sharding(kinds={"a": "row_wise", "b": "table_wise"}))
        self.embedding.initialise(torch.Generator().manual_seed(0), 0.5)
        network = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        self.optimizer = JointOptimizer([network, ShardedOptimizer(self.embedding, 0.1)])

    def step(self, number: int) -> None:
        self.optimizer.zero_grad()
        self.embedding(ranks.bags(number, "sum")).square().sum().backward()
        self.optimizer.step()


@pytest.mark.usefixtures("one_rank")
def test_the_rate_may_not_change_within_a_step() -> None:
    embedding = ShardedEmbedding(TABLES, "sgd", SIZES)
    optimizer = ShardedOptimizer(embedding, 0.1)
    embedding(Bags(torch.tensor([3]), torch.tensor([0, 0, 0, 1]))).sum().backward()
    optimizer.param_groups[0]["lr"] = 0.2
    with pytest.raises(ValueError, match="should not change between"):
        optimizer.step()
