"""A chain of linear layers, found in autograd's graph, and every task's gradient through it in one pass.

Autograd goes back once for each task. Through linear layers, ReLU and dropout all tasks can go back side by side: in a
B x T x units tensor a layer is two matrix products, however many tasks there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

# Autograd's nodes have no public type with their saved tensors.
Node = Any

_SAME = ("ViewBackward0", "AliasBackward0", "ToCopyBackward0")  # the same entries, perhaps in another precision


class _Layer(Protocol):
    def back(self, cotangent_BTO: Tensor, blocks: Sequence[Tensor]) -> Tensor:
        """Write the layer's own gradients into its blocks, T x numel, and return the cotangents of its input."""


@dataclass(frozen=True)
class _Linear:
    """The layer ``y = x W' + b``, with the places of weight and bias (if any) among the shared parameters.

    The weight's values are None where nothing before the layer needs a gradient.
    """

    input_BI: Tensor
    weight_OI: Tensor | None
    places: tuple[int, ...]

    def back(self, cotangent_BTO: Tensor, blocks: Sequence[Tensor]) -> Tensor:
        batch, tasks, units = cotangent_BTO.shape
        cotangent_BTO = cotangent_BTO.to(self.input_BI.dtype)
        cotangent_BX, (weight, *bias) = cotangent_BTO.flatten(1), (blocks[place] for place in self.places)
        _product(cotangent_BX.T, self.input_BI[:batch], weight.view(tasks * units, -1))
        for block in bias:
            # A product with ones takes a third of the time of `sum`.
            _product(cotangent_BX.new_ones(1, batch), cotangent_BX, block.view(1, -1))
        if self.weight_OI is None:
            return cotangent_BTO
        inputs = self.weight_OI.shape[1]
        return (cotangent_BTO.view(-1, units) @ self.weight_OI).view(batch, tasks, inputs)


@dataclass(frozen=True)
class _Factor:
    """A layer that multiplies each entry by a number: ReLU, dropout, or the one after the other."""

    factor_BO: Tensor

    def back(self, cotangent_BTO: Tensor, blocks: Sequence[Tensor]) -> Tensor:
        del blocks
        return cotangent_BTO.to(self.factor_BO.dtype).mul_(self.factor_BO[: len(cotangent_BTO), None])


@dataclass(frozen=True)
class Chain:
    """The layers between the shared representation and a leaf, last one first.

    Args:
        layers: The layers, in the order in which cotangents go back through them.
        shared: The parameters of the layers.
        columns: Number of leading columns of the first layer's input that are the leaf; 0 without a leaf.
    """

    layers: tuple[_Layer, ...]
    shared: tuple[Tensor, ...]
    columns: int

    def back(self, cotangent_BTD: Tensor) -> tuple[list[Tensor], Tensor]:
        """Every task's gradient, from its cotangent at the shared representation.

        Args:
            cotangent_BTD: B x T x D, contiguous; it is overwritten. B may be less than the rows of the forward pass:
                gradients are then those of the first B rows.

        Returns:
            The gradients in each shared parameter, T x numel, one after another in one memory, and the cotangents at
            the leaf, B x T x E.
        """
        blocks = empty_blocks(cotangent_BTD.shape[1], self.shared)
        for layer in self.layers:
            cotangent_BTD = layer.back(cotangent_BTD, blocks)
        return blocks, cotangent_BTD[:, :, : self.columns]


def empty_blocks(tasks: int, shared: Sequence[Tensor]) -> list[Tensor]:
    """Room for T gradients of each parameter, T x numel, one block after another in one memory."""
    sizes = [tasks * parameter.numel() for parameter in shared]
    return [block.view(tasks, -1) for block in shared[0].new_empty(sum(sizes)).split(sizes)]


def find_chain(outputs: Sequence[Tensor], shared: Sequence[Tensor], leaf: Tensor | None) -> Chain | None:
    """The chain from a leaf to T views of one tensor, or to that tensor T times.

    Hooks on outputs, parameters or the leaf rule a chain out; hooks on tensors inside it are invisible and do not run.
    Activations that checkpointing left out of the graph are recomputed for each layer: micro-batches save more.

    Returns:
        None unless a chain of linear layers, ReLU and dropout lies between and has every shared parameter exactly once.
    """
    if any(tensor is not None and tensor._backward_hooks for tensor in (*outputs, *shared, leaf)):
        return None
    sources = {_skipped(output.grad_fn) for output in outputs}
    walk = _Walk(shared, leaf)
    if len(sources) > 1 or not walk.arrives(sources.pop()) or walk.unmet:
        return None
    *layers, first = walk.layers
    if isinstance(first, _Linear) and first.weight_OI is not None:
        first = replace(first, weight_OI=first.weight_OI[:, : walk.columns])  # the other cotangents are unused
    return Chain((*layers, first), tuple(shared), walk.columns)


class _Walk:
    """Reads a graph from its end; ``unmet`` has the shared parameters not yet found, with their places."""

    def __init__(self, shared: Sequence[Tensor], leaf: Tensor | None) -> None:
        self.unmet = {id(parameter): place for place, parameter in enumerate(shared)}
        self.leaf, self.columns = leaf, 0
        self.layers: list[_Layer] = []

    def arrives(self, node: Node) -> bool:
        """Whether layers of known kinds lead to the leaf, or to a place where nothing needs a gradient."""
        while node is not None and not self._is_leaf(node):
            edges = [edge for edge, _ in node.next_functions]
            match node.name():
                case "AddmmBackward0" if node._saved_alpha == node._saved_beta == 1:
                    layer, before = self._linear(node, node._saved_mat1, edges[2], edges[0]), edges[1]
                case "MmBackward0":
                    layer, before = self._linear(node, node._saved_self, edges[1]), edges[0]
                case "ReluBackward0":
                    layer, before = _Factor(node._saved_result.sign()), edges[0]
                case "NativeDropoutBackward0" if node._saved_p < 1:  # dropout on CUDA, in training only
                    layer, before = _factor(node, node._saved_result1, 1 / (1 - node._saved_p)), edges[0]
                case "MulBackward0" if None in edges and _shape(edges[0] or edges[1]) == _shape(node):
                    constant = node._saved_other if edges[1] is None else node._saved_self
                    layer, before = _factor(node, constant), edges[0] or edges[1]
                case _:
                    return False
            if layer is None:
                return False
            self._add(layer)
            node = _skipped(before)
        return (node is None) == (self.leaf is None)

    def _linear(self, node: Node, input_BI: Tensor, turned: Node, *bias: Node) -> _Layer | None:
        """The layer of a transposed weight and a bias, if both are shared parameters that no other layer has."""
        of_units = all(b is not None and _shape(b) == _shape(node)[1:] for b in bias)
        if not of_units or not _turns(turned) or input_BI.layout != torch.strided:
            return None
        found = [self._place(_skipped(parameter)) for parameter in (turned.next_functions[0][0], *bias)]
        places = tuple(place for place in found if place is not None)
        weight_IO = node._saved_mat2
        layer = _Linear(input_BI, None if weight_IO is None else weight_IO.T, places)
        return layer if len(places) == len(found) else None

    def _place(self, node: Node) -> int | None:
        return self.unmet.pop(id(getattr(node, "variable", None)), None)

    def _add(self, layer: _Layer) -> None:
        last = self.layers[-1] if self.layers else None
        if isinstance(layer, _Factor) and isinstance(last, _Factor):
            self.layers[-1] = _Factor(layer.factor_BO * last.factor_BO)
        else:
            self.layers.append(layer)

    def _is_leaf(self, node: Node) -> bool:
        """Whether this is the leaf, or a concatenation that begins with it, whose width then goes to ``columns``."""
        edges = [edge for edge, _ in node.next_functions]
        if node.name() == "CatBackward0" and node._saved_dim == 1 and not any(edges[1:]):
            node = edges[0]
        found = self.leaf is not None and getattr(node, "variable", None) is self.leaf
        self.columns = self.leaf.shape[1] if self.leaf is not None and found else 0
        return found


def _factor(node: Node, constant: Tensor, scale: float = 1.0) -> _Factor:
    """The layer of a constant factor: a number, or a mask whose type and device may differ from the factor's input."""
    made = node._input_metadata[0]
    return _Factor((constant.to(made.device, made.dtype) * scale).expand(_shape(node)))


def _turns(node: Node) -> bool:
    """Whether the node transposes a matrix, as ``W.T`` does."""
    if node is None:
        return False
    permuted = node.name() == "PermuteBackward0" and tuple(node._saved_dims) == (1, 0)
    return bool(permuted or node.name() == "TBackward0")


def _skipped(node: Node) -> Node:
    """The nearest earlier node that does more than pass entries on."""
    while node is not None and node.name() in _SAME and _shape(node) == _shape(node.next_functions[0][0]):
        node = node.next_functions[0][0]
    return node


def _shape(node: Node) -> torch.Size:
    """Shape of the tensor that the node made."""
    shape: torch.Size = node._input_metadata[0].shape
    return shape


def _product(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Write a matrix product into ``out``, which may be of higher precision."""
    if left.dtype == out.dtype:
        torch.mm(left, right, out=out)
    else:
        out.copy_(left @ right)
