"""What an embedding of the tables offers to the network above it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from features.transforms import FIRST_KNOWN
from models.embedding.cut import Bags, Layout, TableCut


class Embedding(nn.Module):
    """An embedding front: what a batch reads, to pooled embeddings B x E."""

    layout: Layout

    def tables(self) -> Iterator[nn.Parameter]:
        """The weights of the tables."""
        return self.parameters()

    def cut(self, bags: Bags) -> TableCut:
        """The pooled embeddings, cut from the tables."""
        return TableCut.of(self(bags), bags, self.layout)

    def whole_state(self) -> dict[str, Tensor]:
        """The state dict of whole tables."""
        return self.state_dict()

    def placement(self) -> dict[str, Any]:
        """Which ranks hold what of the tables, if several do."""
        return {}

    def initialise(self, generator: torch.Generator, std: float) -> None:
        """Draw the tables: normal, their special rows (padding, null, out of vocabulary) zero."""
        for table in self.tables():
            table.normal_(0.0, std, generator=generator)[:FIRST_KNOWN] = 0.0
