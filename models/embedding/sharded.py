"""The embedding of several ranks: TorchRec's sharded collection, whose backward pass steps its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from fbgemm_gpu.split_table_batched_embeddings_ops_training import DenseTableBatchedEmbeddingBagsCodegen as Copying
from fbgemm_gpu.split_table_batched_embeddings_ops_training import SplitTableBatchedEmbeddingBagsCodegen as Kernel
from fbgemm_gpu.tbe.config.embedding_config import BoundsCheckMode
from torch import Tensor, nn
from torch.distributed._shard.metadata import ShardMetadata
from torch.distributed._shard.sharded_tensor import init_from_local_shards
from torch.distributed._shard.sharded_tensor.api import ShardedTensor
from torch.distributed._shard.sharded_tensor.shard import Shard as Local
from torch.nn import functional
from torch.optim import Optimizer
from torchrec.distributed.batched_embedding_kernel import BaseBatchedEmbeddingBag
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.types import ShardingEnv

from features.encoder import Table
from features.errors import InputError
from features.transforms import FIRST_KNOWN
from models.embedding import torchrec
from models.embedding.base import Embedding, Part
from models.embedding.cut import Bags, Layout, TableCut
from models.embedding.fused import EPS, check_widths, fused_rule
from models.embedding.row_owners import RowOwners
from models.embedding.shard import Shard
from models.embedding.sharded_optimizer import ShardedOptimizer
from models.embedding.sharding import sharding_plan
from models.embedding.sharding_kinds import Sharding

_VECTOR = 16  # torch draws normal numbers in vectors of 16: drawing whole vectors piecewise equals one draw


class ShardedEmbedding(Embedding):
    """Drop-in for :class:`models.embedding.torchrec.TorchRecEmbedding` on ranks that step together.

    No rank ever holds a whole table, except tables that every rank copies. Losses are the local rows' parts of the
    losses of the whole batch: tables move by the sum of the ranks' cotangents, unscaled. Ranks may have different
    numbers of rows, even none. Every pass is an exchange in which all ranks take part.

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
    ) -> None:
        super().__init__()
        self._drawn_at_once = drawn_at_once
        check_widths(tables)
        self.layout, self.rule, self.processes = Layout.of(tables), optimizer, processes
        self._keys = torchrec.feature_keys(tables)
        group = processes or dist.group.WORLD
        if group is None:
            raise ValueError("`processes` should be a group, or torch.distributed initialised. Found neither.")
        self._ranks = dist.get_world_size(group)
        if optimizer == "rowwise_adagrad":
            _check_whole_rows(tables, sharding, self._ranks)
        whole = torchrec.collection(tables, weighted=weighted, device=torch.device("meta"))
        sharder = EmbeddingBagCollectionSharder(
            fused_params={
                "optimizer": fused_rule(optimizer, device),
                "learning_rate": 0.0,
                "eps": EPS,
                "bounds_check_mode": BoundsCheckMode.FATAL,  # by default an unknown id is read as row 0
            }
        )
        self.kinds = {table.name: sharding.kind(table, self._ranks) for table in tables}
        self.plan = sharding_plan(sharding, whole, tables, self._ranks, device.type)
        self.collection = sharder.shard(whole, self.plan, ShardingEnv.from_process_group(group), device)
        self.before_training_pass: Callable[[list[Kernel]], None] | None = None
        self.declared = {table.name: table for table in tables}
        self._held = list(_held(self.collection._lookups))  # TorchRec has no public way to its kernels

    def forward(self, bags: Bags) -> Tensor:
        """Pooled embeddings B x E of this rank's rows.

        Raises:
            RuntimeError: If an id is not a row of its table.
        """
        if self.before_training_pass is not None and torch.is_grad_enabled():
            self.before_training_pass(self.kernels())
        rows = len(bags.lengths_FB) // len(self._keys)
        lengths_FB = bags.lengths_FB.view(len(self._keys), rows)
        # Empty bags after the last row: gloo's exchanges need the same number of rows on every rank.
        most = self._most(rows, lengths_FB.device) if bags.most_rows is None else bags.most_rows
        even_FB = functional.pad(lengths_FB, (0, most - rows))
        even = replace(bags, lengths_FB=even_FB.flatten())
        pooled_BE = torchrec.in_order(self.collection(torchrec.jagged(even, self._keys)).wait(), self._keys)[:rows]
        if pooled_BE.requires_grad:
            # TorchRec and DistributedDataParallel divide by the number of ranks: they expect means of local rows.
            pooled_BE.register_hook(partial(torch.mul, other=self._ranks))
        return pooled_BE

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
        return [shard for module in self._held for shard in self._shards(module)]

    def copies(self) -> dict[Tensor, list[Shard]]:
        """The tables that every rank copies, by the tensor that has their dense gradient."""
        kernels = ((module.emb_module, module) for module in self._held)
        return {kernel.weights: self._shards(module) for kernel, module in kernels if isinstance(kernel, Copying)}

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
        most = self._most(len(row_U), row_U.device)
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
        places = {name: self.plan[table.weights_name].ranks for name, table in self.declared.items()}
        tables = {name: {"kind": self.kinds[name], "ranks": ranks} for name, ranks in places.items()}
        return {"ranks": self._ranks, "tables": tables}

    def kernels(self) -> list[Kernel]:
        """The kernels of tables that a backward pass steps."""
        return [module.emb_module for module in self._held if isinstance(module.emb_module, Kernel)]

    def stepped(self) -> dict[str, Tensor]:
        """The weights in those kernels, one after another, by the names of their tables."""
        stepping = [module for module in self._held if isinstance(module.emb_module, Kernel)]
        return {shard.table.name: shard.weights for module in stepping for shard in self._shards(module)}

    def _shards(self, module: BaseBatchedEmbeddingBag[Tensor]) -> list[Shard]:
        tables = {table.weights_name: table for table in self.declared.values()}
        pairs = zip(module.config.embedding_tables, module.split_embedding_weights(), strict=True)
        return [Shard(tables[config.name], *_offsets(config.local_metadata), weights) for config, weights in pairs]

    def _most(self, rows: int, device: torch.device) -> int:
        """The largest number of rows on any rank."""
        most = torch.tensor(rows, device=device)
        dist.all_reduce(most, dist.ReduceOp.MAX, group=self.processes)
        return int(most)


def _check_whole_rows(tables: Sequence[Table], sharding: Sharding, ranks: int) -> None:
    """Refuse tables whose rows are divided: each part of a row would have its own accumulator."""
    if split := [f"`{table.name}`" for table in tables if sharding.kind(table, ranks) == "column_wise"]:
        raise InputError.of("`rowwise_adagrad` goes with tables that are not column_wise", split)


def _held(lookups: Sequence[nn.Module]) -> Iterator[BaseBatchedEmbeddingBag[Tensor]]:
    """TorchRec's modules with the weights of this rank."""
    for lookup in lookups:
        yield from (module for module in lookup.modules() if isinstance(module, BaseBatchedEmbeddingBag))


def _offsets(metadata: ShardMetadata | None) -> tuple[int, int]:
    """First row and first column; both 0 for a copy."""
    row, column = (0, 0) if metadata is None else metadata.shard_offsets
    return row, column
