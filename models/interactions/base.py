"""The base of every interaction: layers between the embeddings and an architecture, where features meet by products."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from torch import Tensor, nn

from features.declared import Declared
from models.embedding.cut import Layout


class Interaction(nn.Module, ABC):
    """What an architecture reads in place of embeddings and numbers. Tasks share its parameters.

    Args:
        extra: Number of columns that it adds to those of embeddings and numbers.
    """

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    @abstractmethod
    def forward(self, pooled_BE: Tensor, value_BV: Tensor) -> Tensor:
        """The architecture's input, B x (E + V + extra), from pooled embeddings and numeric values.

        Columns of embeddings stand first, then extra ones, then those of numbers.
        """


class InteractionConfig(Declared, ABC):
    """The keys of ``[model.interaction]``: a subclass for each interaction, in the same file.

    A subclass declares ``kind: Literal["<its file's name>"]`` with that default.
    """

    kind: str

    @classmethod
    @abstractmethod
    def example(cls) -> Self:
        """A small one with every part: the conformance suite trains it."""

    @abstractmethod
    def build(self, layout: Layout, values: int) -> Interaction:
        """The interaction, before initialisation.

        Args:
            layout: Columns of the features.
            values: Number of numeric values, V.
        """
