"""The base of every encoding of numbers: from single numbers to vectors, computed in the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from features.declared import Declared
from features.encoder import EncodedValue


class Encoding(nn.Module, ABC):
    """Vectors in place of F numbers, for all of them together. Tasks share its parameters.

    Args:
        columns: Number of columns that the vectors of all F numbers have.
    """

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns

    @abstractmethod
    def initialise(self, generator: torch.Generator) -> None:
        """Draw the parameters that no linear layer has; called without recording gradients, after construction."""

    @abstractmethod
    def forward(self, value_BF: Tensor) -> Tensor:
        """The vectors B x F x width, from the numbers as the encoder gives them: float32, never null."""


class EncodingConfig(Declared, ABC):
    """The keys of one encoding in ``[model.encoding]``, which all features of this encoding have in common."""

    @abstractmethod
    def build(self, numbers: Sequence[EncodedValue]) -> Encoding:
        """The encoding of these numbers, at least one, before initialisation."""
