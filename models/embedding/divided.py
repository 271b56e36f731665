"""Tables that TorchRec divides among ranks; a backward pass steps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import cast

import torch
import torch.distributed as dist
from fbgemm_gpu.split_table_batched_embeddings_ops_training import SplitTableBatchedEmbeddingBagsCodegen as Kernel
from fbgemm_gpu.tbe.config.embedding_config import BoundsCheckMode
from torch import Tensor, nn
from torch.distributed._shard.metadata import ShardMetadata
from torchrec.distributed.batched_embedding_kernel import BaseBatchedEmbeddingBag
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.types import ShardingEnv

from features.encoder import Table
from models.embedding import torchrec
from models.embedding.cut import Bags
from models.embedding.fused import EPS, fused_rule
from models.embedding.shard import Shard
from models.embedding.sharding import sharding_plan
from models.embedding.sharding_kinds import Kind


class DividedTables:
    """Tables of which every rank holds a part.

    ``collection`` is TorchRec's module, ``ranks_of`` has the ranks of each table by its name.

    Args:
        tables: The tables, at least one.
        kinds: The kind of each by its name.
        optimizer: The rule, by its name in :mod:`models.table_optimizers.names`.
        weighted: Whether bags come with entry weights.
        device: This rank's device.
        group: The process group.

    Raises:
        ValueError: If the rule is not fused on this device.
    """

    def __init__(
        self,
        tables: Sequence[Table],
        kinds: Mapping[str, Kind],
        optimizer: str,
        *,
        weighted: bool,
        device: torch.device,
        group: dist.ProcessGroup,
    ) -> None:
        self._keys, self._tables = torchrec.feature_keys(tables), {table.weights_name: table for table in tables}
        self._ranks = dist.get_world_size(group)
        sharder = EmbeddingBagCollectionSharder(
            fused_params={
                "optimizer": fused_rule(optimizer, device),
                "learning_rate": 0.0,
                "eps": EPS,
                "bounds_check_mode": BoundsCheckMode.FATAL,  # by default an unknown id is read as row 0
            }
        )
        whole = torchrec.collection(tables, weighted=weighted, device=torch.device("meta"))
        plan = sharding_plan(kinds, whole, tables, self._ranks, device.type)
        self.ranks_of = {table.name: [*(plan[table.weights_name].ranks or ())] for table in tables}
        self.collection = sharder.shard(whole, plan, ShardingEnv.from_process_group(group), device)
        # TorchRec has no public way to its kernels.
        self._held = [*_held(cast("Sequence[nn.Module]", self.collection._lookups))]

    def pooled(self, bags: Bags) -> Tensor:
        """Pooled embeddings of the tables' features for equal numbers of rows; all ranks take part."""
        pooled_BE = torchrec.in_order(self.collection(torchrec.jagged(bags, self._keys)).wait(), self._keys)
        if pooled_BE.requires_grad:
            # TorchRec divides by the number of ranks: it expects means of local rows.
            pooled_BE.register_hook(partial(torch.mul, other=self._ranks))
        return pooled_BE

    def kernels(self) -> list[Kernel]:
        """The kernels with this rank's weights."""
        kernels = [module.emb_module for module in self._held]
        assert all(isinstance(kernel, Kernel) for kernel in kernels), "a table is not fused"
        return cast("list[Kernel]", kernels)

    def shards(self) -> list[Shard]:
        """This rank's parts of the tables, kernel by kernel."""
        return [shard for module in self._held for shard in self._shards(module)]

    def _shards(self, module: BaseBatchedEmbeddingBag[Tensor]) -> Iterator[Shard]:
        for config, weights in zip(module.config.embedding_tables, module.split_embedding_weights(), strict=True):
            yield Shard(self._tables[config.name], *_offsets(config.local_metadata), weights)


def _held(lookups: Sequence[nn.Module]) -> Iterator[BaseBatchedEmbeddingBag[Tensor]]:
    """TorchRec's modules with the weights of this rank."""
    for lookup in lookups:
        yield from (module for module in lookup.modules() if isinstance(module, BaseBatchedEmbeddingBag))


def _offsets(metadata: ShardMetadata | None) -> tuple[int, int]:
    """First row and first column."""
    assert metadata is not None, "a divided table has no shard"
    row, column = metadata.shard_offsets
    return row, column
