"""Predicts the memory and the disk space of a run before it is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow.parquet as pq
import torch
from torch import Tensor

from features.encoder import ID, EncodedValue, Table
from models.architectures.base import Architecture
from models.embedding.portable import PortableEmbedding
from models.table_optimizers.rules import TABLE_OPTIMIZERS
from pipeline.config.run import RunConfig
from pipeline.data.batches import WINDOW
from pipeline.data.prepared import Prepared
from pipeline.files.parquet import read_schema
from pipeline.runs.run import architecture_of

_NUMBER, _INDEX = 4, 8  # bytes of a float32 or an encoded id, and of a row's number in a sparse gradient


@dataclass(frozen=True)
class Footprint:
    """Bytes of one run; exact for the weights and the optimizer, an estimate for the rest.

    The angles of rotations are left out.

    Args:
        weights: The weights of tables and network.
        gradients: Their gradients: sparse ones of the rows that a batch can read, none of tables in a fused kernel.
        state: The optimizer's state.
        average: The moving average of the weights, if there is one.
        staged: With ``train.async_checkpoints`` the copy of weights, state and average that is written to a checkpoint
            while the steps go on; none on a GPU, since the copy is in the host's memory.
        copies: Two copies of the weights: the best so far, and a better one or the file while it is written. With a
            moving average, a third one: the weights themselves while the average is evaluated. With
            ``train.task_snapshots`` two more for each task: those kept, and as they are written.
        reader: Windows of encoded rows.
        step: Activations and per-task gradients of one batch.
        disk: The file of the weights.
        checkpoints: Checkpoints on disk until the run is finished: the kept ones and the one being written.
    """

    weights: int
    gradients: int
    state: int
    average: int
    staged: int
    copies: int
    reader: int
    step: int
    disk: int
    checkpoints: int

    @property
    def memory(self) -> int:
        """Bytes of everything in memory at the same time."""
        trained = self.weights + self.gradients + self.state + self.average
        return trained + self.staged + self.copies + self.reader + self.step

    @classmethod
    def on_ranks(
        cls, config: RunConfig, prepared: Prepared, tables: Sequence[Table], here: int, ranks: int
    ) -> Footprint:
        """The footprint, as :meth:`of`, of all ranks on one machine: copied tables, and an even share of the others.

        Args:
            config: The run.
            prepared: Its data.
            tables: Its tables, by :func:`pipeline.runs.run.tables_of`.
            here: Number of ranks on this machine; one is the first of all, which writes the file of whole tables.
            ranks: Number of all ranks.
        """
        whole = cls.of(config, prepared, tables)
        if ranks == 1:
            return whole
        kinds = config.sharding.plan().kinds_of(tables, ranks)
        copied = [table if kinds[table.name] == "data_parallel" else replace(table, rows=0) for table in tables]
        share = config.train.model_copy(update={"batch_size": math.ceil(config.train.batch_size / ranks)})
        bare = cls.of(config.model_copy(update={"train": share}), prepared, copied)
        shares = {
            name: here * getattr(bare, name) + math.ceil((getattr(whole, name) - getattr(bare, name)) * here / ranks)
            for name in ("weights", "gradients", "state", "average", "staged")
        }
        snapshots = whole.copies - 2 * whole.weights - whole.average
        copies = shares["weights"] + shares["average"] + whole.weights + snapshots
        return replace(whole, **shares, copies=copies, reader=here * whole.reader, step=here * bare.step)

    @classmethod
    def of(cls, config: RunConfig, prepared: Prepared, tables: Sequence[Table]) -> Footprint:
        """The footprint of the run that a config describes, on prepared data and its tables, as :meth:`on_ranks`."""
        with torch.device("meta"):
            embedding, values = PortableEmbedding(tables), len(config.spec.value_features)
            encoded = _encoded_values(config, prepared)
            model = architecture_of(config).build(embedding, values=values, tasks=config.tasks, encoded=encoded)
        entries = _entries(prepared)
        weights = sum(_bytes(tensor) for tensor in model.state_dict().values())  # fitted bins lie among them
        gradients, state = _optimizer_bytes(config, model, tables, entries)
        held = {name: min(int(split["rows"]), WINDOW) for name, split in prepared.manifest["splits"].items()}
        average = weights if config.train.ema else 0
        snapshots = len(config.tasks) * weights if config.train.task_snapshots else 0
        is_staged = config.train.async_checkpoints and not config.train.device.startswith("cuda")
        windows = sum(held.values()) + 3 * held["train"]  # training: two more than the one kept, and a frame
        return cls(
            weights=weights,
            gradients=gradients,
            state=state,
            average=average,
            staged=weights + state + average if is_staged else 0,
            copies=2 * weights + average + 2 * snapshots,
            reader=math.ceil(_NUMBER * windows * sum(entries.values())),
            step=_step_bytes(config, model),
            disk=weights + snapshots,
            # Each also has the best weights, and those of each task's best epoch.
            checkpoints=(config.train.keep_checkpoints + 1) * (2 * weights + state + average + snapshots),
        )


def largest(tables: Sequence[Table], number: int = 3) -> list[Table]:
    """The tables with the most weights."""
    return sorted(tables, key=table_bytes, reverse=True)[:number]


def table_bytes(table: Table) -> int:
    """Bytes of a table's weights."""
    return _NUMBER * table.rows * table.width


def _encoded_values(config: RunConfig, prepared: Prepared) -> Sequence[EncodedValue]:
    """The numbers that the network encodes; an encoder, which may be large, is read only if there are some."""
    return prepared.encoder().encoded_values() if config.spec.value_encodings else ()


def _optimizer_bytes(
    config: RunConfig, model: Architecture, tables: Sequence[Table], entries: Mapping[str, float]
) -> tuple[int, int]:
    """Bytes of all gradients, and of the optimizer's state."""
    kind, weights = TABLE_OPTIMIZERS[config.train.table_optimizer], list(model.embedding.tables())
    whole = sum(_bytes(p) for p in model.parameters())
    every = len(list(model.parameters()))
    if kind is None:
        return whole, 2 * whole + _NUMBER * every  # two moments, and a counter for each parameter
    dense = whole - sum(_bytes(w) for w in weights)
    plain = tables if config.train.table_kernel == "plain" else ()
    sparse = sum(_row_gradient_bytes(t, config.train.batch_size, entries) for t in plain)
    of_tables = sum(_bytes(value) for w in weights for value in kind.initial(w).values())
    return dense + sparse, 2 * dense + _NUMBER * (every - len(weights)) + of_tables


def _row_gradient_bytes(table: Table, batch: int, entries: Mapping[str, float]) -> int:
    """Bytes of a table's sparse gradient: one row for every entry, from autograd, and their sums by row."""
    read = math.ceil(batch * sum(entries.get(ID + feature, 1.0) for feature in table.features))
    return (read + min(read, table.rows)) * (_NUMBER * table.width + _INDEX)


def _step_bytes(config: RunConfig, model: Architecture) -> int:
    """Bytes of activations, pooled embeddings, and every task's gradient of shared parameters, cotangents and rows."""
    layout, tasks, batch = model.embedding.layout, len(config.tasks), config.train.batch_size
    rows = min(batch, config.train.micro_batch or batch)
    activations = _activations(model, rows, len(config.spec.value_features))
    shared = sum(_bytes(p) for p in model.shared_parameters())
    of_all, of_shared = (_NUMBER * batch * sum(widths) for widths in (layout.widths, model.shared_layout.widths))
    apart = shared + 2 * of_shared + 2 * max(map(_bytes, activations), default=0)
    return 2 * of_all + sum(map(_bytes, activations)) + tasks * apart


def _activations(model: Architecture, rows: int, values: int) -> list[Tensor]:
    """The tensors that a pass of some rows keeps until its backward pass, each once; the model is on device meta."""
    kept: dict[int, Tensor] = {}
    weights = {p.untyped_storage()._cdata for p in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    shared, columns = sum(model.shared_layout.widths), sum(model.embedding.layout.widths)
    pooled_BE = torch.empty(rows, shared, device="meta", requires_grad=True)
    own_BX = torch.empty(rows, columns - shared, device="meta", requires_grad=True) if columns > shared else None
    value_BV = torch.empty(rows, values, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train().through(pooled_BE, value_BV, own_BX)
    return [tensor for place, tensor in kept.items() if place not in weights]


def _entries(prepared: Prepared) -> dict[str, float]:
    """Encoded column to its mean number of values a training row, which may exceed 1 for a list."""
    paths = sorted((prepared.folder / "train").glob("*.parquet"))
    values: dict[str, int] = {}
    rows = 0
    for path in paths:
        metadata, names = pq.read_metadata(path), read_schema(path)
        rows += metadata.num_rows
        for group in range(metadata.num_row_groups):
            for place, name in enumerate(names):  # columns are at most lists, so each has one leaf
                values[name] = values.get(name, 0) + metadata.row_group(group).column(place).num_values
    return {name: number / rows for name, number in values.items()}


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
