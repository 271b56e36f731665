"""Piecewise-linear encoding: a number's vector is a broken line with a break at each edge of its bins."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from features.encoder import EncodedValue
from models.encodings.base import Encoding, EncodingConfig

# Stands for "no limit" in saved tensors, which have to be finite.
_FAR = 3e38


class PiecewiseLinear(Encoding):
    """Piecewise-linear embeddings (Gorishniy et al., NeurIPS 2022), as TabM's authors use them ("version B").

    Of a number x with the bin edges b_0 < ... < b_K it is ``x w + bias + sum_k z_k W_k`` with
    ``z_k = clip((x - b_{k-1}) / (b_k - b_{k-1}), 0, 1)``, where the first bin is not clipped below and the last not
    above. W starts at 0, so that the encoding starts as a linear layer of each number. There is no activation.

    It differs from the authors' in the edges, which the encoder fits: a frequent value has a bin of its own, and edges
    that float32 hardly tells apart are one. A number with fewer than two edges, as a constant, has no bin: x w + bias.

    Args:
        edges: The bin edges of each of the F numbers, ascending.
        width: Width of each number's vector.
    """

    start_FK: Tensor
    slope_FK: Tensor
    low_FK: Tensor
    high_FK: Tensor

    def __init__(self, edges: Sequence[Sequence[float]], width: int) -> None:
        super().__init__(len(edges) * width)
        most = max(len(one) for one in edges) - 1
        bins = [_bins(one, max(most, 0)) for one in edges]
        # With the weights: a saved network needs no encoder for the meaning of its bins.
        for name, rows in zip(("start_FK", "slope_FK", "low_FK", "high_FK"), zip(*bins, strict=True), strict=True):
            self.register_buffer(name, torch.tensor(rows, dtype=torch.float32))
        self.weight = nn.Parameter(torch.empty(len(edges), width, 1 + self.start_FK.shape[1]))
        self.bias = nn.Parameter(torch.empty(len(edges), width))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw w and the bias uniform within ``1 / sqrt(width)``, as the authors do; W is 0."""
        bound = self.bias.shape[1] ** -0.5
        self.weight.zero_()[:, :, 0].uniform_(-bound, bound, generator=generator)
        self.bias.uniform_(-bound, bound, generator=generator)

    def forward(self, value_BF: Tensor) -> Tensor:
        """The vectors, B x F x width: one product for each number, all of them in one batch."""
        value_FB1 = value_BF.T.unsqueeze(2)
        line_FBK = (value_FB1 - self.start_FK[:, None]) * self.slope_FK[:, None]
        bin_FBK = torch.clamp(line_FBK, self.low_FK[:, None], self.high_FK[:, None])
        read_FBX = torch.cat([value_FB1, bin_FBK], dim=2)
        return torch.baddbmm(self.bias[:, None], read_FBX, self.weight.transpose(1, 2)).transpose(0, 1)


def _bins(edges: Sequence[float], places: int) -> tuple[list[float], ...]:
    """Start, slope, lowest and highest value of each bin; places without a bin have slope 0, and so the value 0."""
    bins = max(len(edges) - 1, 0)
    rest = places - bins
    slope = [1 / (after - before) for before, after in pairwise(edges)]
    low, high = [0.0] * places, [1.0] * places
    if bins:
        low[0], high[bins - 1] = -_FAR, _FAR
    return [*edges[:bins], *[0.0] * rest], [*slope, *[0.0] * rest], low, high


class PiecewiseConfig(EncodingConfig):
    """The keys of ``[model.encoding.piecewise]``.

    Args:
        width: Width of each number's vector.
    """

    width: PositiveInt = 8

    def build(self, numbers: Sequence[EncodedValue]) -> PiecewiseLinear:
        """The encoding over the numbers' fitted bins."""
        return PiecewiseLinear([number.bin_edges for number in numbers], self.width)
