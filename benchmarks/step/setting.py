"""A network and its batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from features.encoder import Table
from gradops.rotation import Rotations
from models.architectures.base import Architecture
from models.architectures.base_config import ArchitectureConfig
from models.architectures.shared_bottom import SharedBottom
from models.embedding.base import Embedding
from models.embedding.cut import Bags
from models.embedding.fused import FusedEmbedding
from models.embedding.torchrec import TorchRecEmbedding

Tables = Literal["fused", "sparse", "dense"]  # stepped by one kernel, or by gradients of rows, or of whole tables


@dataclass(frozen=True)
class Setting:
    """A network and its batch.

    Args:
        rows: Number of rows of each table; one feature reads each table.
        width: Width of the tables.
        bottom: Units of the shared layers.
        batch: Number of rows in a step.
        tasks: Number of tasks.
    """

    rows: tuple[int, ...]
    width: int
    bottom: tuple[int, ...]
    batch: int
    tasks: int = 3

    def grown(self, factor: int) -> Setting:
        """This setting with the rows of every table multiplied."""
        return replace(self, rows=tuple(factor * rows for rows in self.rows))

    @property
    def tables(self) -> list[Table]:
        """The tables, each read by one feature."""
        return [Table(f"t{i}", rows, self.width, (f"t{i}",)) for i, rows in enumerate(self.rows)]

    def embedding(self, held: Tables, tables: Sequence[Table]) -> Embedding:
        """The embedding of tables."""
        if held == "fused":
            return FusedEmbedding(tables, "adagrad")
        return TorchRecEmbedding(tables, "adagrad" if held == "sparse" else "adam")

    def model(self, held: Tables, rotations: Rotations | None = None) -> SharedBottom:
        """The network, from one seed."""
        model = SharedBottom(
            self.embedding(held, self.tables),
            values=0,
            tasks=self.tasks,
            bottom=self.bottom,
            dropout=0.0,
            head_transform=rotations,
        )
        model.initialise(torch.Generator().manual_seed(0), embedding_std=0.05)
        return model

    def network(self, architecture: ArchitectureConfig) -> Architecture:
        """A network of another architecture over fused tables, from the same seed."""
        tasks = [f"task{i}" for i in range(self.tasks)]
        embedding = self.embedding("fused", architecture.tables(self.tables, tasks))
        model = architecture.build(embedding, values=0, tasks=tasks)
        model.initialise(torch.Generator().manual_seed(0), embedding_std=0.05)
        return model

    def data(self, seed: int) -> tuple[Bags, Tensor]:
        """A batch with labels, and ids that are skewed like those of items."""
        generator = torch.Generator().manual_seed(seed)
        shares_FB = torch.rand(len(self.rows), self.batch, generator=generator) ** 3
        ids_N = (shares_FB * torch.tensor(self.rows)[:, None]).to(torch.int32).flatten()
        labels_BT = torch.randint(0, 2, (self.batch, self.tasks), generator=generator).float()
        return Bags(ids_N, torch.ones(len(ids_N), dtype=torch.int32)), labels_BT


SETTINGS = {
    "census": Setting((50,) * 40, 8, (192, 192), 1024),
    "clicklog": Setting((1_000_000,) * 2 + (100_000,) * 44, 16, (1024, 512, 256, 128), 2048),
}
