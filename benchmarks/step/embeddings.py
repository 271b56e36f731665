"""Embeddings in forms that the peers, which know nothing of tables, can differentiate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from benchmarks.step.ours import SPARSE
from benchmarks.step.setting import Tables
from models.architectures.shared_bottom import SharedBottom
from models.embedding.cut import Bags
from models.table_optimizers.joint_optimizer import JointOptimizer
from pipeline.training.optimizers import optimizer_of


class PeerEmbedding(nn.Module, ABC):
    """An embedding whose parameters a peer can treat as any others, and the optimizer of the whole model."""

    tables: ClassVar[Tables]
    optimizer: Optimizer

    @abstractmethod
    def forward(self, bags: Bags) -> Tensor:
        """Pooled embeddings B x E."""

    def step(self) -> None:
        """One step of the model."""
        self.optimizer.step()


class DenseTables(PeerEmbedding):
    """Whole tables with dense gradients. Plain descent on them, the cheapest optimizer; fused Adam on the rest."""

    tables = "dense"

    def __init__(self, model: SharedBottom) -> None:
        super().__init__()
        self.embedding = model.embedding
        tables = list(model.embedding.tables())
        network = [*model.shared_parameters(), *model.towers.parameters()]
        self.optimizer = JointOptimizer([Adam(network, lr=SPARSE.lr, fused=True), SGD(tables, lr=SPARSE.lr)])

    def forward(self, bags: Bags) -> Tensor:
        """Pooled embeddings B x E."""
        pooled_BE: Tensor = self.embedding(bags)
        return pooled_BE


class SparseTables(PeerEmbedding):
    """Whole tables with sparse gradients, which only one backward pass can combine. Our optimizer."""

    tables = "sparse"

    def __init__(self, model: SharedBottom) -> None:
        super().__init__()
        self.embedding, self.optimizer = model.embedding, optimizer_of(model, SPARSE)

    def forward(self, bags: Bags) -> Tensor:
        """Pooled embeddings B x E."""
        pooled_BE: Tensor = self.embedding(bags)
        return pooled_BE


class TouchedRows(PeerEmbedding):
    """The rows that a batch reads, as small dense tables, as a careful user would give them to a peer. Our optimizer.

    Every bag should have one entry.
    """

    tables = "sparse"

    def __init__(self, model: SharedBottom) -> None:
        super().__init__()
        self.optimizer = optimizer_of(model, SPARSE)
        self._tables = list(model.embedding.tables())
        self._touched: list[Tensor] = []
        # One module a table, since autogram takes modules; its weight is replaced at every batch.
        self.rows = nn.ModuleList(nn.Embedding(1, t.shape[1], dtype=t.dtype) for t in self._tables)

    def forward(self, bags: Bags) -> Tensor:
        """Pooled embeddings B x E."""
        found = [ids_B.unique(return_inverse=True) for ids_B in bags.ids_N.view(len(self._tables), -1)]
        self._touched = [touched_U for touched_U, _ in found]
        for table, weight, touched_U in zip(self._tables, self.rows.parameters(), self._touched, strict=True):
            weight.data = table.detach()[touched_U]
        return torch.cat([rows(place_B) for rows, (_, place_B) in zip(self.rows, found, strict=True)], dim=1)

    def step(self) -> None:
        """One step of the model, each table by the gradient of its touched rows."""
        for table, weight, touched_U in zip(self._tables, self.rows.parameters(), self._touched, strict=True):
            assert weight.grad is not None, "a peer fills every gradient"
            table.grad = torch.sparse_coo_tensor(
                touched_U[None].long(), weight.grad, table.shape, is_coalesced=True, check_invariants=False
            )
            weight.grad = None
        self.optimizer.step()
