"""Encoded rows inside a graph that leaves torch, and the base of what reads them there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.embedding.cut import Bags
from models.embedding.exported import bag_of_entries


@dataclass(frozen=True)
class GraphRows:
    """The inputs of a graph; the numbers of rows and of ids are not fixed.

    Args:
        bags: The ids of every feature with ids.
        value_BV: The numbers.
        id_features: The features with ids, in order.
        value_features: The features with a number, in order.
    """

    bags: Bags
    value_BV: Tensor
    id_features: Sequence[str]
    value_features: Sequence[str]

    def length_B(self, feature: str) -> Tensor:
        """The number of ids of each row."""
        return self.bags.lengths_FB.view(len(self.id_features), -1)[self.id_features.index(feature)]

    def ids_B(self, feature: str) -> Tensor:
        """The ids of a feature with one id a row; of another, the first ones."""
        length_X = self.bags.lengths_FB
        begin_FB = (length_X.cumsum(0) - length_X).view(len(self.id_features), -1)
        return self.bags.ids_N.index_select(0, begin_FB[self.id_features.index(feature)])

    def counts_BE(self, feature: str, ids: Tensor) -> Tensor:
        """How often each row has each of some ids."""
        bag_N = bag_of_entries(self.bags)
        rows = self.value_BV.shape[0]
        first = self.id_features.index(feature) * rows
        own_M = ((bag_N >= first) & (bag_N < first + rows)).nonzero().squeeze(1)
        has_ME = self.bags.ids_N[own_M].unsqueeze(1).eq(ids).to(torch.float32)
        counts_BE = torch.zeros(rows, len(ids))
        return counts_BE.index_put((bag_N[own_M] - first,), has_ME, accumulate=True)

    def value_B(self, feature: str) -> Tensor:
        """The number of each row."""
        return self.value_BV[:, self.value_features.index(feature)]


class RowGraph(nn.Module, ABC):
    """A model, or a part of one, as a graph."""

    @abstractmethod
    def forward(self, rows: GraphRows) -> Tensor:
        """Probabilities in float64, rows x outputs, the tasks first."""
