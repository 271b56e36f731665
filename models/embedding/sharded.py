"""The embedding of several ranks: TorchRec's sharded collection, whose backward pass steps its tables, and copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from fbgemm_gpu.split_table_batched_embeddings_ops_training import SplitTableBatchedEmbeddingBagsCodegen as Kernel
from torch import Tensor, nn
from torch.distributed._shard.sharded_tensor import init_from_local_shards
from torch.distributed._shard.sharded_tensor.api import ShardedTensor
from torch.distributed._shard.sharded_tensor.shard import Shard as Local
from torch.nn import functional
from torch.optim import Optimizer

from features.encoder import Table
from features.errors import InputError
from features.transforms import FIRST_KNOWN
from models.embedding.base import Embedding, Part
from models.embedding.copied import DENSE_BELOW, CopiedTables
from models.embedding.cut import Bags, Layout, TableCut
from models.embedding.divided import DividedTables
from models.embedding.feature_parts import FeatureParts
from models.embedding.fused import check_widths, fused_rule
from models.embedding.row_owners import RowOwners
from models.embedding.shard import Shard
from models.embedding.sharded_optimizer import ShardedOptimizer
from models.embedding.sharding_kinds import Kind, Sharding

_DIVIDED = -1  # the part of the features that divided tables serve; copied ones have other numbers
_VECTOR = 16  # torch draws normal numbers in vectors of 16: drawing whole vectors piecewise equals one draw


class ShardedEmbedding(Embedding):
    """Drop-in for :class:`models.embedding.torchrec.TorchRecEmbedding` on ranks that step together.

    No rank ever holds a whole table, except tables that every rank copies. Losses are the local rows' parts of the
    losses of the whole batch: tables move by the sum of the ranks' cotangents, unscaled. Ranks may have different
    numbers of rows, even none. Every pass is an exchange in which all ranks take part, unless all tables are copied.

    A backward pass is a step of the tables; rate, state and the step of copied tables are those of a
    :class:`models.embedding.sharded_optimizer.ShardedOptimizer`. CUDA support follows TorchRec's source;
    we have not run it yet.

    Args:
        tables: The tables; their features one after another are the pooled columns.
        optimizer: The rule, by its name in :mod:`models.table_optimizers.names`.
        sharding: The rule that places tables on ranks.
        weighted: Whether bags come with entry weights.
        device: This rank's device.
        processes: The process group; None for the default one.
        drawn_at_once: Number of weights initialised at a time, so that no rank ever holds a whole table.
        dense_below: Number of weights below which ranks tell each other the whole gradient of a copied table.

    Raises:
        InputError: If a width is no multiple of 4, or a table is column_wise under ``"rowwise_adagrad"``, whose rows
            must be whole. All such tables are listed.
        ValueError: If the rule is not fused on this device, or there is no process group.
    """

    def __init__(
        self,
        tables: Sequence[Table],
        optimizer: str,
        sharding: Sharding,
        *,
        weighted: bool = False,
        device: torch.device = torch.device("cpu"),
        processes: dist.ProcessGroup | None = None,
        drawn_at_once: int = 1 << 20,
        dense_below: int = DENSE_BELOW,
    ) -> None:
        super().__init__()
        self._drawn_at_once = drawn_at_once
        check_widths(tables)
        self.layout, self.rule, self.processes = Layout.of(tables), optimizer, processes
        group = processes or dist.group.WORLD
        if group is None:
            raise ValueError("`processes` should be a group, or torch.distributed initialised. Found neither.")
        self._ranks = dist.get_world_size(group)
        self.kinds = sharding.kinds_of(tables, self._ranks)
        fused_rule(optimizer, device)  # copies follow the same rules
        if optimizer == "rowwise_adagrad":
            _check_whole_rows(self.kinds)
        copied = [table for table in tables if self.kinds[table.name] == "data_parallel"]
        divided = [table for table in tables if self.kinds[table.name] != "data_parallel"]
        self._divided = None
        self.collection: nn.Module = nn.ModuleDict({"embedding_bags": nn.ModuleDict()})
        if divided:
            self._divided = DividedTables(divided, self.kinds, optimizer, weighted=weighted, device=device, group=group)
            self.collection = self._divided.collection
        self.copied = CopiedTables(copied, device, processes, dense_below)
        part_F = [self.copied.part_of.get(table.name, _DIVIDED) for table in tables for _ in table.features]
        self._parts = FeatureParts(self.layout.widths, part_F)
        self.before_training_pass: Callable[[list[Kernel]], None] | None = None
        self.declared = {table.name: table for table in tables}
        bags = self.collection.get_submodule("embedding_bags")
        for shard in self._copies():
            bags.add_module(shard.table.weights_name, _Weights(shard.weights))

    def forward(self, bags: Bags) -> Tensor:
        """Pooled embeddings B x E of this rank's rows.

        Raises:
            RuntimeError: If an id is not a row of its table.
        """
        if self.before_training_pass is not None and torch.is_grad_enabled():
            self.before_training_pass(self.kernels())
        rows = len(bags.lengths_FB) // len(self.layout.widths)
        sized = self._even(self._sized(bags), rows)
        parts = self._parts.bags(sized)
        pooled = self.copied.pooled(parts)
        if self._divided is not None:
            pooled[_DIVIDED] = self._divided.pooled(parts[_DIVIDED])
        return self._parts.joined(pooled)[:rows]

    def _sized(self, bags: Bags) -> Bags:
        """The bags with the largest sizes on any rank; ranks ask each other if nobody has told them."""
        features = len(self.layout.widths)
        are_known = bags.most_rows is not None and len(bags.most_entries_F or ()) == features
        if are_known or (self._divided is None and not torch.is_grad_enabled()):
            return bags
        sizes = [len(bags.lengths_FB) // features, *bags.entries(features)]
        most_rows, *most_entries_F = self._most(sizes, bags.ids_N.device)
        return replace(bags, most_rows=most_rows, most_entries_F=most_entries_F)

    def _even(self, bags: Bags, rows: int) -> Bags:
        """The bags with empty ones after the last row: kernels need a row, gloo's exchanges equal numbers of rows."""
        more = max(rows if self._divided is None else bags.most_rows or 0, 1) - rows
        if not more:
            return bags
        features = len(self.layout.widths)
        lengths, known = (
            None if value is None else functional.pad(value.view(features, rows), (0, more)).flatten()
            for value in (bags.lengths_FB, bags.known_FB)
        )
        assert lengths is not None
        return replace(bags, lengths_FB=lengths, known_FB=known, most_rows=max(bags.most_rows or 0, rows + more))

    def optimizer(self, rate: float) -> Optimizer:
        """An optimizer with the rate and the state of the kernels' own steps, which also steps copied tables."""
        return ShardedOptimizer(self, rate)

    def cut(self, bags: Bags) -> TableCut:
        """The pooled embeddings of this rank's rows, cut from the tables."""
        return TableCut.of(self(bags), bags, self.layout, RowOwners(self.processes))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, std: float) -> None:
        """Draw the tables as if they were whole, a piece at a time: the values are independent of plan and rank."""
        shards = self.shards()
        for table in self.declared.values():
            mine = [shard for shard in shards if shard.table is table]
            for first, drawn in self._drawn(table, generator, std):
                if first == 0:
                    drawn[:FIRST_KNOWN] = 0.0
                for shard in mine:
                    shard.take(first, drawn)

    def _drawn(self, table: Table, generator: torch.Generator, std: float) -> Iterator[tuple[int, Tensor]]:
        """Pieces of a table, each with the number of its first row; together they equal one draw of the whole table."""
        rows = max(self._drawn_at_once // table.width // _VECTOR, 1) * _VECTOR
        starts = range(0, max(table.rows - _VECTOR, 1), rows)
        for first, stop in pairwise([*starts, table.rows]):
            yield first, torch.empty(stop - first, table.width).normal_(0.0, std, generator=generator)

    def shards(self) -> list[Shard]:
        """This rank's parts of the tables, copies included."""
        return [*(() if self._divided is None else self._divided.shards()), *self._copies()]

    def _copies(self) -> list[Shard]:
        whole = {name: weights for tall in self.copied.tall for name, weights in tall.of_tables().items()}
        return [Shard(self.declared[name], 0, 0, weights) for name, weights in whole.items()]

    def spread(self, table: Table, size: torch.Size, part: Tensor | None) -> Tensor:
        """A tensor of a table's size, or with one number a row, put together from the parts of all ranks.

        All ranks take part. For a copied table, the part is the whole.

        Args:
            table: The table.
            size: Size of the whole tensor.
            part: The values for this rank's shard of the table; None if it holds no shard.
        """
        held = [(shard, part) for shard in self.shards() if shard.table is table and part is not None]
        if self.kinds[table.name] == "data_parallel":
            return held[0][1]
        rank = dist.get_rank(self.processes)
        local = [
            Local.from_tensor_and_offsets(part, [shard.row, shard.column][: len(size)], rank) for shard, part in held
        ]
        return init_from_local_shards(local, size, process_group=self.processes)

    def parts(self) -> list[Part]:
        """This rank's parts of the tables, copies included."""
        starts, numbers = self.layout.starts(), {name: number for number, name in enumerate(self.declared)}
        places = [(numbers[shard.table.name], shard) for shard in self.shards()]
        return [Part(number, starts[number] + shard.row, shard.weights) for number, shard in places]

    def rows_read(self, bags: Bags) -> Tensor:
        """The distinct rows that any rank reads, in order, the rows of all tables numbered consecutively."""
        row_U = super().rows_read(bags)
        (most,) = self._most([len(row_U)], row_U.device)
        padded_U = functional.pad(row_U, (0, most - len(row_U)), value=-1)
        all_RU = padded_U.new_empty(dist.get_world_size(self.processes) * most)
        dist.all_gather_into_tensor(all_RU, padded_U, group=self.processes)
        read_U: Tensor = torch.unique(all_RU)
        return read_U[read_U >= 0]

    def spread_parts(self, values: Sequence[Tensor]) -> dict[int, Tensor]:
        """A tensor for each table, spread like the table; all ranks take part."""
        held = super().spread_parts(values)
        tables = enumerate(self.declared.values())
        return {i: self.spread(table, torch.Size((table.rows, table.width)), held.get(i)) for i, table in tables}

    def whole_state(self) -> dict[str, Tensor]:
        """The unsharded embedding's state dict on the first rank; the other ranks take part and get an empty one."""
        state: dict[str, Tensor] = {}
        first, device = dist.get_rank(self.processes) == 0, next(self.tables()).device
        for name, value in self.state_dict().items():
            whole = torch.empty(value.size(), device=device) if first else None
            if isinstance(value, ShardedTensor):
                value.gather(dst=0, out=whole)
            elif whole is not None:
                whole.copy_(value)
            state |= {} if whole is None else {name: whole}
        return state

    def placement(self) -> dict[str, Any]:
        """The number of ranks, and the kind and the ranks of each table."""
        ranks = {name: [*range(self._ranks)] for name in self.kinds}
        ranks |= {} if self._divided is None else self._divided.ranks_of
        return {"ranks": self._ranks, "tables": {n: {"kind": k, "ranks": ranks[n]} for n, k in self.kinds.items()}}

    def kernels(self) -> list[Kernel]:
        """The kernels of tables that a backward pass steps."""
        return [] if self._divided is None else self._divided.kernels()

    def stepped(self) -> dict[str, Tensor]:
        """The weights in those kernels, one after another, by the names of their tables."""
        return {} if self._divided is None else {one.table.name: one.weights for one in self._divided.shards()}

    def _most(self, sizes: Sequence[int], device: torch.device) -> list[int]:
        """The largest of each size on any rank."""
        most = torch.tensor(sizes, device=device)
        dist.all_reduce(most, dist.ReduceOp.MAX, group=self.processes)
        found: list[int] = most.tolist()
        return found


class _Weights(nn.Module):
    """A table by the name that TorchRec gives it.

    Args:
        weights: The memory that is trained.
    """

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weights)


def _check_whole_rows(kinds: Mapping[str, Kind]) -> None:
    """Refuse tables whose rows are divided: each part of a row would have its own accumulator."""
    if split := [f"`{name}`" for name, kind in kinds.items() if kind == "column_wise"]:
        raise InputError.of("`rowwise_adagrad` goes with tables that are not column_wise", split)
