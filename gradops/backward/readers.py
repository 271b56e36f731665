"""The rules of autograd's nodes: a reader turns a node of the graph into a rule, or knows that it has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradops.backward.rules import (
    BatchedLinear,
    Concatenation,
    Factor,
    Linear,
    PairProducts,
    Product,
    Reshape,
    RowProduct,
    Rule,
    Scaled,
    ScaledCopies,
    Selection,
    Softmax,
    Sum,
    Transpose,
)

# Autograd's nodes have no public type with their saved tensors.
Node = Any
# The same entries, perhaps in another shape or precision.
SAME = ("ViewBackward0", "UnsafeViewBackward0", "CloneBackward0", "AliasBackward0", "ToCopyBackward0")


@dataclass(frozen=True)
class Found:
    """A rule, and the node of each input that needs a cotangent, with the dimension of the rows there."""

    rule: Rule
    inputs: list[tuple[Node, int]]


# From the node of a parameter to its place among the shared ones, which is then taken.
Place = Callable[[Node], int | None]
Reader = Callable[[Node, int, Place], Found | None]


def shape(node: Node) -> tuple[int, ...]:
    """Shape of the tensor that the node made."""
    return tuple(node._input_metadata[0].shape)


def skipped(node: Node) -> Node:
    """The nearest earlier node that does more than pass entries on."""
    while node is not None and node.name() in SAME and shape(node) == shape(node.next_functions[0][0]):
        node = node.next_functions[0][0]
    return node


def _before(node: Node) -> list[Node]:
    return [edge for edge, _ in node.next_functions]


def _addmm(node: Node, axis: int, place: Place) -> Found | None:
    bias, before, turned = _before(node)
    if node._saved_alpha != 1 or node._saved_beta != 1 or bias is None or shape(bias) != shape(node)[1:]:
        return None
    return _linear(node, node._saved_mat1, before, [turned, bias], axis, place)


def _mm(node: Node, axis: int, place: Place) -> Found | None:
    before, turned = _before(node)
    return _linear(node, node._saved_self, before, [turned], axis, place)


def _linear(
    node: Node, input_BI: Tensor | None, before: Node, parameters: list[Node], axis: int, place: Place
) -> Found | None:
    """The layer of a transposed weight and a bias, if both are shared parameters that no other operation has."""
    turned, *bias = parameters
    if axis != 0 or input_BI is None or input_BI.layout != torch.strided or not _turns(turned, (1, 0)):
        return None
    found = [place(parameter) for parameter in (turned.next_functions[0][0], *bias)]
    places = tuple(p for p in found if p is not None)
    weight_IO = node._saved_mat2
    rule = Linear(input_BI, None if weight_IO is None else weight_IO.T, places)
    return Found(rule, [(before, 0)] * (before is not None)) if len(places) == len(found) else None


def _baddbmm(node: Node, axis: int, place: Place) -> Found | None:
    bias, before, turned = _before(node)
    turned = skipped(turned)  # in another precision after it was turned
    plain = node._saved_alpha == node._saved_beta == 1 and node._saved_batch1 is not None
    if axis != 1 or not plain or bias is None or not _turns(turned, (0, 2, 1)):
        return None
    layers, _, units = shape(node)
    if shape(bias) != (layers, 1, units):
        return None
    places = (place(turned.next_functions[0][0]), place(bias))
    if places[0] is None or places[1] is None:
        return None
    weight_NIO = node._saved_batch2
    weight_NOI = None if weight_NIO is None else weight_NIO.transpose(1, 2)
    rule = BatchedLinear(node._saved_batch1, weight_NOI, (places[0], places[1]))
    return Found(rule, [(before, 1)] * (before is not None))


def _turns(node: Node, order: tuple[int, ...]) -> bool:
    """Whether the node changes the last two dimensions of a matrix, or of several, as ``W.T`` does."""
    if node is None:
        return False
    if node.name() == "PermuteBackward0":
        return tuple(node._saved_dims) == order
    if node.name() == "TransposeBackward0":
        dims = {_dim(node._saved_dim0, len(order)), _dim(node._saved_dim1, len(order))}
        return dims == {len(order) - 2, len(order) - 1}
    return bool(node.name() == "TBackward0")


def _relu(node: Node, axis: int, place: Place) -> Found:
    del place
    return Found(Factor(node._saved_result.sign(), axis), [(_before(node)[0], axis)])


def _sigmoid(node: Node, axis: int, place: Place) -> Found:
    del place
    share = node._saved_result
    return Found(Factor(share * (1 - share), axis), [(_before(node)[0], axis)])


def _dropout(node: Node, axis: int, place: Place) -> Found | None:
    """Dropout on CUDA, in training only; elsewhere it is a product with a constant."""
    del place
    if not node._saved_p < 1:
        return None
    mask = node._saved_result1.to(node._input_metadata[0].dtype)
    return Found(_factor(node, mask / (1 - node._saved_p), axis), [(_before(node)[0], axis)])


def _mul(node: Node, axis: int, place: Place) -> Found | None:
    edges = _before(node)
    variable = [edge for edge in edges if edge is not None]
    constant = node._saved_other if edges[1] is None else node._saved_self
    if len(variable) == 1 and axis == 0 and shape(variable[0]) == shape(node)[1:]:
        return _scaled(node, constant, variable[0], place)
    if any(shape(edge) != shape(node) for edge in variable):
        return _scaled_copies(node, axis, place)
    if len(variable) == 1:
        return Found(_factor(node, constant, axis), [(variable[0], axis)])
    return Found(Product(node._saved_self, node._saved_other, axis), [(edge, axis) for edge in edges])


def _scaled(node: Node, constant: Tensor, parameter: Node, place: Place) -> Found | None:
    """A shared parameter, the same for all rows, that no other operation has."""
    found = place(parameter)
    if found is None or constant.dim() != len(shape(node)) or len(constant) != shape(node)[0]:
        return None
    return Found(Scaled(constant, found), [])


def _cos(node: Node, axis: int, place: Place) -> Found:
    del place
    return Found(Factor(node._saved_self.sin().neg_(), axis), [(_before(node)[0], axis)])


def _sin(node: Node, axis: int, place: Place) -> Found:
    del place
    return Found(Factor(node._saved_self.cos(), axis), [(_before(node)[0], axis)])


def _scaled_copies(node: Node, axis: int, place: Place) -> Found | None:
    """A product of one input of each row, B x 1 x X, with a shared parameter, K x X."""
    before, parameter = _before(node)
    if axis != 0 or before is None or parameter is None:
        return None
    rows, *inner = shape(node)
    if shape(before) != (rows, 1, *inner[1:]) or shape(parameter) != (*inner,):
        return None
    found = place(parameter)
    return None if found is None else Found(ScaledCopies(node._saved_self, node._saved_other, found), [(before, 0)])


def _factor(node: Node, constant: Tensor, axis: int) -> Factor:
    """A constant factor: a number, or a mask whose type and device may differ from those of the other factor."""
    made = node._input_metadata[0]
    return Factor(constant.to(made.device, made.dtype).expand(shape(node)), axis)


def _add(node: Node, axis: int, place: Place) -> Found | None:
    del place
    variable = [edge for edge in _before(node) if edge is not None]
    if node._saved_alpha != 1 or any(shape(edge) != shape(node) for edge in variable):
        return None
    return Found(Sum(len(variable)), [(edge, axis) for edge in variable])


def _softmax(node: Node, axis: int, place: Place) -> Found | None:
    del place
    last = len(shape(node)) - 1
    if axis == last or _dim(node._saved_dim, last + 1) != last:
        return None
    return Found(Softmax(node._saved_result, axis), [(_before(node)[0], axis)])


def _bmm(node: Node, axis: int, place: Place) -> Found | None:
    del place
    if axis != 0:
        return None
    left, right = _before(node)
    rule = RowProduct(None if right is None else node._saved_self, None if left is None else node._saved_mat2)
    return Found(rule, [(edge, 0) for edge in (left, right) if edge is not None])


def _cat(node: Node, axis: int, place: Place) -> Found | None:
    """A concatenation whose tensors without a gradient, which the graph does not know the sizes of, come last."""
    del place
    edges = _before(node)
    variable = [edge for edge in edges if edge is not None]
    dim = _dim(node._saved_dim, len(shape(node)))
    if axis != 0 or dim == 0 or edges[: len(variable)] != variable:
        return None
    return Found(Concatenation(dim, tuple(shape(edge)[dim] for edge in variable)), [(edge, 0) for edge in variable])


def _reshape(node: Node, axis: int, place: Place) -> Found | None:
    del place
    before = _before(node)[0]
    if axis != 0 or not shape(before) or not shape(node):
        return None
    inner_rows, rows = shape(before)[0], shape(node)[0]
    split, joined = (max(of // max(by, 1), 1) for of, by in ((rows, inner_rows), (inner_rows, rows)))
    if inner_rows * split != rows * joined:
        return None
    return Found(Reshape(shape(before)[1:], split, joined), [(before, 0)])


def _transpose(node: Node, axis: int, place: Place) -> Found:
    del place
    dims = len(shape(node))
    rule = Transpose((_dim(node._saved_dim0, dims), _dim(node._saved_dim1, dims)), axis)
    return Found(rule, [(_before(node)[0], rule.axis_before)])


def _select(node: Node, axis: int, place: Place) -> Found | None:
    del place
    before = _before(node)[0]
    if axis != 0 or _dim(node._saved_dim, len(shape(before))) != 1:
        return None
    return _pairs(node._saved_index, before) or Found(Selection(node._saved_index, shape(before)[1]), [(before, 0)])


def _pairs(index: Tensor, before: Node) -> Found | None:
    """The entries of ``bmm(x, x.mT)`` at an index, if they are the products of all pairs of vectors, each once."""
    while before.name() in ("ViewBackward0", "UnsafeViewBackward0"):
        before = _before(before)[0]
    left, right = _before(before) if before.name() == "BmmBackward0" else (None, None)
    if right is None or not _turns(right, (0, 2, 1)) or _before(right)[0] is not left:
        return None
    place_NN = _places(index, shape(left)[1])
    return None if place_NN is None else Found(PairProducts(before._saved_self, place_NN), [(left, 0)])


def _places(index: Tensor, vectors: int) -> Tensor | None:
    """For each entry of an N x N matrix, row by row, the place of it or of its mirror image in the index.

    None unless the index has each pair of different vectors once, in either order.
    """
    first, second = index // vectors, index % vectors
    mirrored, pair = second * vectors + first, torch.arange(len(index), device=index.device)
    place_NN = torch.zeros(vectors * vectors, dtype=torch.int64, device=index.device)
    place_NN[index], place_NN[mirrored] = pair, pair
    met = (place_NN[index] == pair) & (place_NN[mirrored] == pair) & (first != second)
    return place_NN if len(index) == vectors * (vectors - 1) // 2 and bool(met.all()) else None


def _dim(saved: int, dims: int) -> int:
    """A dimension counted from the first; autograd keeps those counted from the last as 64 unsigned bits."""
    return (saved - (1 << 64) if saved >= 1 << 63 else saved) % dims


READERS: dict[str, Reader] = {
    "AddmmBackward0": _addmm,
    "MmBackward0": _mm,
    "BaddbmmBackward0": _baddbmm,
    "ReluBackward0": _relu,
    "SigmoidBackward0": _sigmoid,
    "NativeDropoutBackward0": _dropout,
    "MulBackward0": _mul,
    "AddBackward0": _add,
    "CosBackward0": _cos,
    "SinBackward0": _sin,
    "SoftmaxBackward0": _softmax,
    "BmmBackward0": _bmm,
    "CatBackward0": _cat,
    "ViewBackward0": _reshape,
    "UnsafeViewBackward0": _reshape,
    "UnsqueezeBackward0": _reshape,
    "SqueezeBackward1": _reshape,
    "TransposeBackward0": _transpose,
    "IndexSelectBackward0": _select,
}
