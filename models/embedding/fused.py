"""The embedding whose backward pass steps its tables: fbgemm's table-batched embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from fbgemm_gpu.split_table_batched_embeddings_ops_training import SplitTableBatchedEmbeddingBagsCodegen as Kernel
from fbgemm_gpu.tbe.config.embedding_config import BoundsCheckMode, ComputeDevice, EmbeddingLocation
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from features.encoder import Table
from features.errors import InputError
from models.embedding.base import Embedding
from models.embedding.cut import Bags, Layout
from models.embedding.fused_optimizer import FusedOptimizer
from models.table_optimizers.names import FUSED

_PLACES = {
    "cpu": (EmbeddingLocation.HOST, ComputeDevice.CPU),
    "cuda": (EmbeddingLocation.DEVICE, ComputeDevice.CUDA),
}
EPS = 1e-8  # the row optimizers' own
COLUMNS = 4  # fbgemm reads them four at a time


class FusedEmbedding(Embedding):
    """Drop-in for :class:`models.embedding.torchrec.TorchRecEmbedding`: its state dict has the same keys.

    All tables lie in one buffer that one kernel reads and steps, so that a step's cost follows what the batch reads. A
    backward pass through the pooled embeddings is a step of the tables, whether or not an optimizer's ``step`` follows;
    their gradients are never visible. Rate and state are those of a
    :class:`models.embedding.fused_optimizer.FusedOptimizer`; without one the rate is 0. Mean pooling uses entry
    weights, as in the other embeddings. Tables are zero until they are initialised. CUDA support follows fbgemm's
    source; we have not run it yet.

    Args:
        tables: The tables; their features one after another are the pooled columns.
        optimizer: The rule, by its name in :mod:`models.table_optimizers.names`.

    Raises:
        InputError: If a width is no multiple of 4. All tables of such a width are listed.
    """

    def __init__(self, tables: Sequence[Table], optimizer: str) -> None:
        super().__init__()
        check_widths(tables)
        self.layout, self.rule = Layout.of(tables), optimizer
        self._names = [table.name for table in tables]
        # The tables are in the kernel's buffer from the start, so that none is ever held twice.
        self._buffer: Tensor | None = torch.zeros(sum(t.rows * t.width for t in tables), dtype=torch.float32)
        parts = self._buffer.split([t.rows * t.width for t in tables])
        bags = {
            t.weights_name: nn.EmbeddingBag(t.rows, t.width, mode="sum", _weight=part.view(t.rows, t.width))
            for t, part in zip(tables, parts, strict=True)
        }
        self.collection = nn.ModuleDict({"embedding_bags": nn.ModuleDict(bags)})
        self.before_training_pass: Callable[[list[Kernel]], None] | None = None
        self._kernel: list[Kernel] = []  # in a list, so that its buffers are not the model's
        self._place = 0  # address of the first table when the kernel was made

    def forward(self, bags: Bags) -> Tensor:
        """Pooled embeddings B x E.

        Raises:
            RuntimeError: If an id is not a row of its table.
        """
        if self.before_training_pass is not None and torch.is_grad_enabled():
            self.before_training_pass(self.kernels())
        offsets = functional.pad(bags.lengths_FB.cumsum(0), (1, 0))
        pooled_BE: Tensor = self.kernel(
            bags.ids_N, offsets, bags.weight_N, *fixed_weights(bags, len(self.layout.widths))
        )
        return pooled_BE

    def optimizer(self, rate: float) -> Optimizer:
        """An optimizer with the rate and the state of the kernel's own steps."""
        return FusedOptimizer(self, rate)

    @property
    def kernel(self) -> Kernel:
        """The kernel on the tables' present device, made at the first use there; the tables are views of it.

        Raises:
            ValueError: If the rule is not fused on this device.
        """
        place = next(self.tables()).data_ptr()
        if not self._kernel or place != self._place:  # loading with `assign` replaces the tables' tensors
            self._kernel = [self._make()]
            self._place = next(self.tables()).data_ptr()
        return self._kernel[0]

    def kernels(self) -> list[Kernel]:
        """The one kernel."""
        return [self.kernel]

    def stepped(self) -> dict[str, Tensor]:
        """The weights in the kernel, by the names of their tables.

        Raises:
            ValueError: If a table is frozen.
        """
        tables: dict[str, Tensor] = dict(zip(self._names, self.tables(), strict=True))
        if not all(table.requires_grad for table in tables.values()):
            raise ValueError("Tables of a fused kernel should not be frozen: its backward pass steps them all.")
        return tables

    def _make(self) -> Kernel:
        tables = list(self.tables())
        device, buffer = tables[0].device, self._buffer
        kernel = Kernel(
            [(*table.shape, *_PLACES[device.type]) for table in tables],
            feature_table_map=list(self.layout.tables),
            optimizer=fused_rule(self.rule, device),
            learning_rate=0.0,
            eps=EPS,
            device=device,
            bounds_check_mode=BoundsCheckMode.FATAL,  # by default an unknown id is read as row 0
            preallocated_host_buffers=None if buffer is None else {"weights": buffer},
        )
        for table, rows in zip(tables, kernel.split_embedding_weights(), strict=True):
            rows.copy_(table.detach())
            table.data = rows
        self._buffer = None
        return kernel

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FusedEmbedding:
        """Move the tables; after a real move the next use makes a new kernel."""
        first = next(self.tables())
        before = first.data_ptr()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch leaves it so
        if first.data_ptr() != before:
            self._buffer, self._kernel = None, []
        return self

    def __getstate__(self) -> dict[str, Any]:
        # A copied parameter is no longer a view; an optimizer that the embedding refers to is copied with it.
        return {**self.__dict__, "_buffer": None, "_kernel": []}


def fixed_weights(bags: Bags, features: int) -> list[Tensor]:
    """The argument that tells a kernel that entry weights are no parameters: it would compute their gradient."""
    if bags.weight_N is None:
        return []
    return [torch.zeros(features, dtype=torch.int32, device=bags.ids_N.device)]


def check_widths(tables: Sequence[Table]) -> None:
    """Refuse tables of a width that fbgemm's kernels cannot read.

    Raises:
        InputError: If a width is no multiple of 4. All tables of such a width are listed.
    """
    if odd := [f"`{t.name}` is {t.width} wide" for t in tables if t.width % COLUMNS]:
        raise InputError.of(f"the fused kernel takes widths that are multiples of {COLUMNS}", odd)


def fused_rule(optimizer: str, device: torch.device) -> EmbOptimType:
    """The fbgemm rule of a table optimizer.

    Raises:
        ValueError: If it is not fused on this device.
    """
    rules = FUSED.get(device.type, {})
    if optimizer not in rules:
        raise ValueError(f"`optimizer` should be one of {list(rules)} on {device}. Found `{optimizer}`.")
    return EmbOptimType[rules[optimizer]]
