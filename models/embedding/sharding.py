"""The plan of each table's shards on ranks: explicit, since TorchRec's planner proposes no row-wise plan on CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from torch import nn
from torchrec.distributed.embedding_types import EmbeddingComputeKernel
from torchrec.distributed.sharding_plan import (
    ParameterShardingGenerator,
    column_wise,
    construct_module_sharding_plan,
    row_wise,
    table_wise,
)
from torchrec.distributed.types import EmbeddingModuleShardingPlan

from features.encoder import Table
from models.embedding.fused import COLUMNS
from models.embedding.sharding_kinds import Kind

_FUSED = EmbeddingComputeKernel.FUSED.value


def sharding_plan(
    kinds: Mapping[str, Kind], collection: nn.Module, tables: Sequence[Table], ranks: int, device: str
) -> EmbeddingModuleShardingPlan:
    """The plan for TorchRec's collection of these tables, the same on every rank.

    Args:
        kinds: The kind of each table by its name; copied tables are none of TorchRec's.
        collection: The collection to shard; it may be on the meta device.
        tables: Its tables.
        ranks: Number of ranks.
        device: Kind of device, ``"cpu"`` or ``"cuda"``.
    """
    homes = _homes([table for table in tables if kinds[table.name] == "table_wise"], ranks)
    placed = {t.weights_name: _placement(kinds[t.name], t, homes.get(t.name, 0), ranks) for t in tables}
    on_this_host = int(os.environ.get("LOCAL_WORLD_SIZE", ranks))  # set by torchrun
    plan = construct_module_sharding_plan(collection, placed, None, on_this_host, ranks, device)
    for table in tables:
        # By default TorchRec takes a dense kernel on CPU, whose tables would never move.
        assert plan[table.weights_name].compute_kernel == _FUSED, f"`{table.name}` is not fused"
    return plan


def _homes(tables: Sequence[Table], ranks: int) -> dict[str, int]:
    """A rank for each table: the largest first, each to the rank with the fewest weights so far."""
    load, homes = [0] * ranks, {}
    for table in sorted(tables, key=lambda t: (-t.rows * t.width, t.name)):
        homes[table.name] = load.index(min(load))
        load[homes[table.name]] += table.rows * table.width
    return homes


def _placement(kind: Kind, table: Table, home: int, ranks: int) -> ParameterShardingGenerator:
    match kind:
        case "data_parallel":
            raise ValueError(f"`{table.name}` is copied, which is not TorchRec's to do.")
        case "table_wise":
            return table_wise(rank=home, compute_kernel=_FUSED)
        case "row_wise":
            return row_wise(compute_kernel=_FUSED)
        case "column_wise":
            pieces = table.width // COLUMNS  # the narrowest possible shard has COLUMNS columns
            each, rest = divmod(pieces, min(pieces, ranks))
            sizes = [COLUMNS * (each + (rank < rest)) for rank in range(min(pieces, ranks))]
            return column_wise(size_per_rank=sizes, compute_kernel=_FUSED)
