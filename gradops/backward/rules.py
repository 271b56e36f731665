"""The ways back through single operations, for all tasks side by side.

The cotangents of T tasks at a tensor have its shape, with a dimension T after that of the rows: B x T x units, or
n x B x T x units for n layers of equal size. Every rule returns cotangents that nothing else refers to, so that others
may change them in place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_ROWS_IN_CACHE = 64  # a few hundred kB a task for some forty vectors; 32 to 256 take about the same time


class Rule(Protocol):
    """The way back through an operation."""

    def back(self, cotangent: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """Write the gradients of its parameters into their blocks, T x numel; return the cotangents of its inputs."""


@dataclass(frozen=True)
class Linear:
    """The layer ``y = x W' + b``, with the places of weight and bias (if any) among the shared parameters.

    The weight's values are None where nothing before the layer needs a gradient.
    """

    input_BI: Tensor
    weight_OI: Tensor | None
    places: tuple[int, ...]

    def back(self, cotangent: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """Two products, for all tasks together."""
        batch, tasks, units = cotangent.shape
        cotangent_BTO = cotangent.to(self.input_BI.dtype)
        cotangent_BX, (weight, *bias) = cotangent_BTO.flatten(1), (blocks[place] for place in self.places)
        _product(cotangent_BX.T, self.input_BI[:batch], weight.view(tasks * units, -1))
        for block in bias:
            # A product with ones takes a third of the time of `sum`.
            _product(cotangent_BX.new_ones(1, batch), cotangent_BX, block.view(1, -1))
        if self.weight_OI is None:
            return ()
        inputs = self.weight_OI.shape[1]
        return ((cotangent_BX.reshape(-1, units) @ self.weight_OI).view(batch, tasks, inputs),)


@dataclass(frozen=True)
class BatchedLinear:
    """N layers of equal size, each over its own input, ``y_n = x_n W_n' + b_n``, as :class:`Linear`."""

    input_NBI: Tensor
    weight_NOI: Tensor | None
    places: tuple[int, int]

    def back(self, cotangent: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """Two products a layer, for all tasks together."""
        layers, batch, tasks, units = cotangent.shape
        cotangent_NBX = cotangent.to(self.input_NBI.dtype).reshape(layers, batch, tasks * units)
        weight, bias = (blocks[place] for place in self.places)
        found = torch.bmm(cotangent_NBX.transpose(1, 2), self.input_NBI[:, :batch])
        weight.view(tasks, layers, units, -1).copy_(found.view(layers, tasks, units, -1).transpose(0, 1))
        bias.view(tasks, layers, units).copy_(cotangent_NBX.sum(1).view(layers, tasks, units).transpose(0, 1))
        if self.weight_NOI is None:
            return ()
        found = torch.bmm(cotangent_NBX.reshape(layers, batch * tasks, units), self.weight_NOI)
        return (found.view(layers, batch, tasks, self.weight_NOI.shape[2]),)


@dataclass(frozen=True)
class Factor:
    """A constant factor of each entry: that of ReLU, of dropout, or of both; ``axis`` is the dimension of the rows."""

    factor: Tensor
    axis: int

    def back(self, cotangent: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """One product."""
        del blocks
        part = self.factor.narrow(self.axis, 0, cotangent.shape[self.axis]).unsqueeze(self.axis + 1)
        return (cotangent.to(self.factor.dtype).mul_(part),)


@dataclass(frozen=True)
class Scaled:
    """A parameter times a constant of each row, ``y_b = x_b * c``, with its place among the shared parameters.

    The rows are the first dimension, and the parameter has the others.
    """

    constant: Tensor
    place: int

    def back(self, cotangent: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """One product, added up over the rows."""
        block = blocks[self.place]
        found = cotangent.to(block.dtype).mul_(self.constant[: len(cotangent)].unsqueeze(1))
        torch.sum(found.flatten(2), 0, out=block)
        return ()


@dataclass(frozen=True)
class Product:
    """The product of two tensors of one shape, entry by entry."""

    left: Tensor
    right: Tensor
    axis: int

    def back(self, cotangent: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """Each factor's cotangent is that of the product times the other factor."""
        del blocks
        rows = cotangent.shape[self.axis]
        left, right = (t.narrow(self.axis, 0, rows).unsqueeze(self.axis + 1) for t in (self.left, self.right))
        return cotangent * right, cotangent.mul_(left) if cotangent.dtype == left.dtype else cotangent * left


@dataclass(frozen=True)
class ScaledCopies:
    """K copies of a row's input times a shared parameter, ``y_k = x * r_k``, with its place."""

    input_B1X: Tensor
    scale_KX: Tensor
    place: int

    def back(self, cotangent: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """Two products a copy, one copy after another, so that no second tensor of the copies' size is made."""
        batch, tasks, copies, columns = cotangent.shape
        input_B1X = self.input_B1X[:batch]
        cotangent, block = cotangent.to(input_B1X.dtype), blocks[self.place].view(tasks, copies, columns)
        found_BTX = cotangent.new_zeros(batch, tasks, columns)
        for copy in range(copies):
            part_BTX = cotangent[:, :, copy]
            found_BTX.addcmul_(part_BTX, self.scale_KX[copy])
            block[:, copy] = part_BTX.mul_(input_B1X).sum(0)
        return (found_BTX,)


@dataclass(frozen=True)
class Sum:
    """The sum of ``parts`` tensors of one shape."""

    parts: int

    def back(self, cotangent: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """The cotangent, once for each part."""
        del blocks
        return (cotangent, *(cotangent.clone() for _ in range(self.parts - 1)))


@dataclass(frozen=True)
class Softmax:
    """Shares that add up to 1 along the last dimension."""

    share: Tensor
    axis: int

    def back(self, cotangent: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """The share times the cotangent's distance from its mean by shares."""
        del blocks
        share = self.share.narrow(self.axis, 0, cotangent.shape[self.axis]).unsqueeze(self.axis + 1)
        weighted = cotangent * share
        return (weighted.sub_(share * weighted.sum(-1, keepdim=True)),)


@dataclass(frozen=True)
class RowProduct:
    """A matrix product in each row, ``z_b = x_b y_b``; a factor is None where the other one needs no cotangent."""

    left_BPQ: Tensor | None
    right_BQR: Tensor | None

    def back(self, cotangent: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """Products with the other factor, for all tasks together."""
        del blocks
        found: list[Tensor] = []
        batch, tasks, p, r = cotangent.shape
        if self.right_BQR is not None:
            right_BRQ = self.right_BQR[:batch].transpose(1, 2)
            flat_BXR = cotangent.to(right_BRQ.dtype).reshape(batch, tasks * p, r)
            found.append(torch.bmm(flat_BXR, right_BRQ).view(batch, tasks, p, right_BRQ.shape[2]))
        if self.left_BPQ is not None:
            left_B1QP = self.left_BPQ[:batch].transpose(1, 2)[:, None]
            across = cotangent.to(left_B1QP.dtype)
            found.append(left_B1QP * across if p == 1 else left_B1QP @ across)
        return found


@dataclass(frozen=True)
class PairProducts:
    """The products of every two of a row's N vectors, each pair once: some entries of ``x_b x_b'``, which is symmetric.

    ``place_NN`` has the pair of each entry of that matrix, row by row; those of the diagonal are not read.
    """

    vector_BNW: Tensor
    place_NN: Tensor

    def back(self, cotangent: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """One product: the symmetric matrix of the cotangents of pairs, zero on its diagonal, times the vectors.

        The matrices are larger than all else in a step. On a CPU those of a few rows at a time stay in its cache.
        """
        del blocks
        batch, tasks, _ = cotangent.shape
        vectors, width = self.vector_BNW.shape[1:]
        found = self.vector_BNW.new_empty(batch, tasks, vectors, width)
        rows = _ROWS_IN_CACHE if cotangent.device.type == "cpu" else batch
        pieces = (tensor.split(rows) for tensor in (cotangent, self.vector_BNW[:batch], found))
        for part, vector, out in zip(*pieces, strict=True):
            flat_XP = part.to(out.dtype).reshape(len(part) * tasks, -1)
            symmetric_XS = flat_XP.index_select(1, self.place_NN)
            symmetric_XS[:, :: vectors + 1] = 0
            matrix = symmetric_XS.view(len(part), tasks * vectors, vectors)
            torch.bmm(matrix, vector, out=out.view(len(part), tasks * vectors, width))
        return (found,)


@dataclass(frozen=True)
class Concatenation:
    """Tensors one after another along a dimension; those after the last one of ``sizes`` need no cotangent."""

    dim: int
    sizes: tuple[int, ...]

    def back(self, cotangent: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """The part of each tensor."""
        del blocks
        parts: Sequence[Tensor] = cotangent.narrow(self.dim + 1, 0, sum(self.sizes)).split([*self.sizes], self.dim + 1)
        return parts


@dataclass(frozen=True)
class Reshape:
    """The same entries in another shape, that of the input being ``inner`` without the rows.

    One row may become ``split`` rows, or ``joined`` rows may become one: so does a layer over B x N x units.
    """

    inner: tuple[int, ...]
    split: int = 1
    joined: int = 1

    def back(self, cotangent: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """The same entries, each row's tasks together."""
        del blocks
        (rows, tasks), entries = cotangent.shape[:2], math.prod(self.inner) // self.split
        rows //= self.split
        apart = cotangent.reshape(rows, self.split, tasks, self.joined, entries).transpose(1, 3)
        return (apart.reshape(rows * self.joined, tasks, *self.inner),)


@dataclass(frozen=True)
class Transpose:
    """Two dimensions change places; the rows have the dimension ``axis`` afterwards."""

    dims: tuple[int, int]
    axis: int

    @property
    def axis_before(self) -> int:
        """The dimension of the rows in the input."""
        return dict([self.dims, self.dims[::-1]]).get(self.axis, self.axis)

    def back(self, cotangent: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """The same entries, with the tasks after the rows."""
        del blocks
        return (cotangent.movedim(self.axis + 1, -1).transpose(*self.dims).movedim(-1, self.axis_before + 1),)


@dataclass(frozen=True)
class Selection:
    """The entries at some places of the second dimension, which has ``size`` entries."""

    index: Tensor
    size: int

    def back(self, cotangent: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
        """The cotangents at their places, zero elsewhere."""
        del blocks
        batch, tasks, _, *inner = cotangent.shape
        return (cotangent.new_zeros(batch, tasks, self.size, *inner).index_add_(2, self.index, cotangent),)


def _product(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Write a matrix product into ``out``, which may be of higher precision."""
    if left.dtype == out.dtype:
        torch.mm(left, right, out=out)
    else:
        out.copy_(left @ right)
