"""Periodic encoding: a number's vector is made of sines and cosines of learned frequencies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from features.encoder import EncodedValue
from models.encodings.base import Encoding, EncodingConfig


class Periodic(Encoding):
    """Periodic embeddings (Gorishniy et al., NeurIPS 2022) in the "lite" form (Gorishniy et al., TabR, ICLR 2024).

    Of a number x with the frequencies c it is ``relu(A [cos(2 pi c x), sin(2 pi c x)] + bias)``. Each number has
    frequencies of its own; A and the bias are those of all numbers.

    Args:
        numbers: Number of encoded numbers, F.
        frequencies: Number of frequencies of each, n.
        sigma: Standard deviation of the frequencies at the start.
        width: Width of each number's vector.
    """

    def __init__(self, numbers: int, frequencies: int, sigma: float, width: int) -> None:
        super().__init__(numbers * width)
        self._sigma = sigma
        self.frequency_FN = nn.Parameter(torch.empty(numbers, frequencies))
        self.linear = nn.Linear(2 * frequencies, width)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw the frequencies: normal, and within three sigma, as the authors' code does."""
        bound = 3 * self._sigma
        nn.init.trunc_normal_(self.frequency_FN, 0.0, self._sigma, a=-bound, b=bound, generator=generator)

    def forward(self, value_BF: Tensor) -> Tensor:
        """The vectors, B x F x width."""
        angle_BFN = (2 * math.pi * value_BF).unsqueeze(2) * self.frequency_FN
        wave_BFX = torch.cat([angle_BFN.cos(), angle_BFN.sin()], dim=2)
        vector_BFW: Tensor = self.linear(wave_BFX).relu()
        return vector_BFW


class PeriodicConfig(EncodingConfig):
    """The keys of ``[model.encoding.periodic]``.

    Args:
        frequencies: Number of frequencies of each number.
        sigma: Standard deviation of the frequencies at the start, in periods a unit of the encoded number. A higher one
            tells near numbers apart, and fits noise sooner: it is the key to search, from 0.01 to 1.
        width: Width of each number's vector.
    """

    frequencies: PositiveInt = 32
    sigma: Annotated[float, Field(gt=0)] = 0.1
    width: PositiveInt = 8

    def build(self, numbers: Sequence[EncodedValue]) -> Periodic:
        """The encoding of these numbers."""
        return Periodic(len(numbers), self.frequencies, self.sigma, self.width)
