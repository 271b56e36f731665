"""The base of every embedding: its tables, the cut at its output, and the optimizer of its tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from features.transforms import FIRST_KNOWN
from models.embedding.cut import Bags, Layout, TableCut


class Embedding(nn.Module):
    """Embedding tables: from the ids of a batch to pooled embeddings B x E."""

    layout: Layout

    def tables(self) -> Iterator[nn.Parameter]:
        """The weights of the tables."""
        return self.parameters()

    def optimizer(self, rate: float) -> Optimizer | None:
        """The optimizer that steps the tables; None if they have dense gradients, which the network's optimizer steps.

        Args:
            rate: Its learning rate.
        """
        del rate
        return None

    def cut(self, bags: Bags) -> TableCut:
        """The pooled embeddings, cut from the tables."""
        return TableCut.of(self(bags), bags, self.layout)

    def whole_state(self) -> dict[str, Tensor]:
        """The state dict of whole tables."""
        return self.state_dict()

    def placement(self) -> dict[str, Any]:
        """The ranks that hold each table; empty if one process holds them all."""
        return {}

    def initialise(self, generator: torch.Generator, std: float) -> None:
        """Draw the tables: normal, their special rows (padding, null, out of vocabulary) zero."""
        for table in self.tables():
            table.normal_(0.0, std, generator=generator)[:FIRST_KNOWN] = 0.0
