"""The embedding front of several ranks: TorchRec's sharded collection, whose backward pass steps its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, pairwise

import torch
import torch.distributed as dist
from fbgemm_gpu.split_table_batched_embeddings_ops_training import DenseTableBatchedEmbeddingBagsCodegen as Copying
from fbgemm_gpu.split_table_batched_embeddings_ops_training import SplitTableBatchedEmbeddingBagsCodegen as Kernel
from fbgemm_gpu.tbe.config.embedding_config import BoundsCheckMode
from torch import Tensor, nn
from torch.distributed._shard.metadata import ShardMetadata
from torch.distributed._shard.sharded_tensor.api import ShardedTensor
from torch.nn import functional
from torch.optim import Optimizer
from torchrec.distributed.batched_embedding_kernel import BaseBatchedEmbeddingBag
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.types import ShardingEnv

from features.contract import InputError
from features.encoder import Table
from features.transforms import FIRST_KNOWN
from models import embedding
from models.cut import Bags, Layout, TableCut
from models.fused_embedding import EPS, check_widths, fused_rule
from models.fused_optimizer import FusedOptimizer
from models.row_owners import RowOwners
from models.sharding import Sharding
from models.shared_bottom import Embedding
from models.table_optimizers import TABLE_OPTIMIZERS

# Weights drawn at a time; a multiple of the 16 that torch's normal numbers are made in, so that pieces are the whole.
_DRAWN = 1 << 20
_VECTOR = 16


@dataclass(frozen=True)
class Shard:
    """A part of a table that this rank holds.

    Args:
        table: The table.
        row: Its first row.
        column: Its first column.
        weights: The memory that is trained, rows x columns.
    """

    table: Table
    row: int
    column: int
    weights: Tensor

    @torch.no_grad()
    def take(self, first: int, drawn: Tensor) -> None:
        """Copy what is the shard's of some whole rows of the table, of which the first is given."""
        start, stop = max(first, self.row), min(first + len(drawn), self.row + len(self.weights))
        if start < stop:
            columns = slice(self.column, self.column + self.weights.shape[1])
            self.weights[start - self.row : stop - self.row].copy_(drawn[start - first : stop - first, columns])


class ShardedEmbedding(Embedding):
    """Drop-in for :class:`models.embedding.TorchRecEmbedding` on ranks that step together.

    No rank ever holds a whole table, but those that every rank copies. Losses are the local rows' parts of the losses
    of the whole batch: a cotangent of the pooled embeddings counts as it is, and tables move by the sum over ranks.
    Ranks may have different numbers of rows, and some none. Every pass is an exchange that all ranks take part in.

    A backward pass is a step of the tables; rate, state and the step of copied tables are those of
    :meth:`table_optimizers`. What is here for CUDA follows TorchRec's source and was not run.

    Args:
        tables: The tables; their features one after another are the pooled columns.
        optimizer: The rule, by its name in :mod:`models.table_optimizers`.
        sharding: What each rank holds.
        weighted: Whether bags come with entry weights.
        device: This rank's device.
        processes: The process group; None for the default one.

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
    ) -> None:
        super().__init__()
        check_widths(tables)
        self.layout, self.optimizer, self.processes = Layout.of(tables), optimizer, processes
        self._keys = embedding.feature_keys(tables)
        group = processes or dist.group.WORLD
        if group is None:
            raise ValueError("`processes` should be a group, or torch.distributed initialised. Found neither.")
        self._ranks = dist.get_world_size(group)
        if optimizer == "rowwise_adagrad":
            _check_whole_rows(tables, sharding, self._ranks)
        whole = embedding.collection(tables, weighted=weighted, device=torch.device("meta"))
        sharder = EmbeddingBagCollectionSharder(
            fused_params={
                "optimizer": fused_rule(optimizer, device),
                "learning_rate": 0.0,
                "eps": EPS,
                "bounds_check_mode": BoundsCheckMode.FATAL,  # by default an unknown id is read as row 0
            }
        )
        plan = sharding.plan(whole, tables, self._ranks, device.type)
        self.collection = sharder.shard(whole, plan, ShardingEnv.from_process_group(group), device)
        self.before_training_pass: Callable[[list[Kernel]], None] | None = None
        self._tables = list(tables)
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
        # Empty bags after the last row: gloo's exchanges need as many rows on every rank.
        even_FB = functional.pad(lengths_FB, (0, self._most(rows, lengths_FB.device) - rows))
        even = replace(bags, lengths_FB=even_FB.flatten())
        pooled_BE = embedding.in_order(self.collection(embedding.jagged(even, self._keys)).wait(), self._keys)[:rows]
        if pooled_BE.requires_grad:
            # TorchRec and DistributedDataParallel divide by the ranks: they take losses for means of local rows.
            pooled_BE.register_hook(partial(torch.mul, other=self._ranks))
        return pooled_BE

    def cut(self, bags: Bags) -> TableCut:
        """The pooled embeddings of this rank's rows, cut from the tables."""
        return TableCut.of(self(bags), bags, self.layout, RowOwners(self.processes))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, std: float) -> None:
        """Draw the tables as if they were whole, a piece at a time: the values depend on no plan and no rank."""
        shards = self.shards()
        for table in self._tables:
            mine = [shard for shard in shards if shard.table is table]
            for first, drawn in _drawn(table, generator, std):
                if first == 0:
                    drawn[:FIRST_KNOWN] = 0.0
                for shard in mine:
                    shard.take(first, drawn)

    def shards(self) -> list[Shard]:
        """What this rank holds of the tables, copies included."""
        tables = {table.weights_name: table for table in self._tables}
        return [
            Shard(tables[config.name], *_offsets(config.local_metadata), weights)
            for module in self._held
            for config, weights in zip(module.config.embedding_tables, module.split_embedding_weights(), strict=True)
        ]

    def whole_state(self) -> dict[str, Tensor]:
        """The unsharded front's state dict on the first rank, to be served; others take part and get nothing."""
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

    def kernels(self) -> list[Kernel]:
        """The kernels of tables that a backward pass steps."""
        return [module.emb_module for module in self._held if isinstance(module.emb_module, Kernel)]

    def stepped(self) -> list[Tensor]:
        """The weights in those kernels, one after another."""
        return [weights for kernel in self.kernels() for weights in kernel.split_embedding_weights()]

    def table_optimizers(self, lr: float) -> list[Optimizer]:
        """What the tables' rate, state and steps are, to be joined with the network's optimizer.

        The first is of tables that the backward pass steps, on this rank perhaps none; then, if there are some, that of
        copied tables, which all ranks step alike.
        """
        optimizers: list[Optimizer] = [FusedOptimizer(self, lr)]
        copying = [module.emb_module for module in self._held if isinstance(module.emb_module, Copying)]
        rule = TABLE_OPTIMIZERS[self.optimizer]
        if copying and rule is not None:
            copies = {kernel.weights: kernel.split_embedding_weights() for kernel in copying}
            optimizers.append(rule(chain.from_iterable(copies.values()), lr))
            optimizers[-1].register_step_pre_hook(partial(_as_rows, copies))
        return optimizers

    def _most(self, rows: int, device: torch.device) -> int:
        """The rows of the rank that has most."""
        most = torch.tensor(rows, device=device)
        dist.all_reduce(most, dist.ReduceOp.MAX, group=self.processes)
        return int(most)


def _check_whole_rows(tables: Sequence[Table], sharding: Sharding, ranks: int) -> None:
    """Refuse tables whose rows are divided: each part of a row would have an accumulator of its own."""
    if split := [f"`{table.name}`" for table in tables if sharding.kind(table, ranks) == "column_wise"]:
        raise InputError.of("`rowwise_adagrad` goes with tables that are not column_wise", split)


def _held(lookups: Sequence[nn.Module]) -> Iterator[BaseBatchedEmbeddingBag[Tensor]]:
    """TorchRec's modules with the weights of this rank."""
    for lookup in lookups:
        yield from (module for module in lookup.modules() if isinstance(module, BaseBatchedEmbeddingBag))


def _offsets(metadata: ShardMetadata | None) -> tuple[int, int]:
    """First row and column; a copy's are 0."""
    row, column = (0, 0) if metadata is None else metadata.shard_offsets
    return row, column


def _drawn(table: Table, generator: torch.Generator, std: float) -> Iterator[tuple[int, Tensor]]:
    """Some rows of a table after others, with the number of the first: together what one draw of the table gives."""
    rows = max(_DRAWN // table.width // _VECTOR, 1) * _VECTOR
    starts = range(0, max(table.rows - _VECTOR, 1), rows)
    for first, stop in pairwise([*starts, table.rows]):
        yield first, torch.empty(stop - first, table.width).normal_(0.0, std, generator=generator)


def _as_rows(copies: Mapping[Tensor, Sequence[Tensor]], *_: object) -> None:
    """Hand the dense gradient of each kernel's copied tables on as gradients of the rows that it is not zero in."""
    for flat, tables in copies.items():
        if flat.grad is not None:
            for table, part in zip(tables, flat.grad.split([t.numel() for t in tables]), strict=True):
                table.grad = part.view_as(table).to_sparse(1)
            flat.grad = None
