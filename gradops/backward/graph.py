"""One backward pass for the gradients of all tasks, found in autograd's graph.

Autograd goes back once for each task. Through operations of known kinds (:mod:`gradops.backward.rules`) all tasks can
go back side by side: in a B x T x units tensor a layer is two matrix products, however many tasks there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter

from torch import Tensor

from gradops.backward.readers import READERS, SAME, Node, shape, skipped
from gradops.backward.rules import Concatenation, Factor, Linear, Rule

_KEEPS_ORDER = (*SAME, "UnsqueezeBackward0")  # the same entries in the same order, perhaps in another shape


@dataclass(frozen=True)
class Step:
    """The way back through one operation: its rule, and the operations that made its inputs."""

    rule: Rule
    inputs: tuple[Node, ...]


@dataclass(frozen=True)
class BackwardPass:
    """The way from the tensors that tasks read back to shared parameters and to a leaf.

    Args:
        steps: The operations, each after all those that read its output.
        sources: The operation that made each of the tensors that tasks read.
        shared: The parameters of the operations.
        leaf: The end of the way, if there is a leaf.
    """

    steps: dict[Node, Step]
    sources: tuple[Node, ...]
    shared: tuple[Tensor, ...]
    leaf: Node | None

    def back(self, cotangents: Sequence[Tensor]) -> tuple[list[Tensor], Tensor | None]:
        """Every task's gradient, from its cotangents at the tensors that it reads.

        Args:
            cotangents: For each source, B x T x its other dimensions, contiguous; they are overwritten. B may be less
                than the rows of the forward pass: gradients are then those of the first B rows.

        Returns:
            The gradients in each shared parameter, T x numel, one after another in one memory, and the cotangents at
            the leaf, B x T x E; None without a leaf.
        """
        blocks = empty_blocks(cotangents[0].shape[1], self.shared)
        waiting: dict[Node, Tensor] = {}
        _add(waiting, zip(self.sources, cotangents, strict=True))
        for node, step in self.steps.items():
            _add(waiting, zip(step.inputs, step.rule.back(waiting.pop(node), blocks), strict=True))
        return blocks, None if self.leaf is None else waiting[self.leaf]


def empty_blocks(tasks: int, shared: Sequence[Tensor]) -> list[Tensor]:
    """Room for T gradients of each parameter, T x numel, one block after another in one memory."""
    if not shared:
        return []
    sizes = [tasks * parameter.numel() for parameter in shared]
    return [block.view(tasks, -1) for block in shared[0].new_empty(sum(sizes)).split(sizes)]


def find_backward(
    read: Sequence[Sequence[Tensor]], shared: Sequence[Tensor], leaf: Tensor | None
) -> BackwardPass | None:
    """The backward pass from tensors that tasks read.

    Hooks on outputs, parameters or the leaf rule it out; hooks on tensors between them are invisible and do not run.
    Activations that checkpointing left out of the graph are recomputed for each operation: micro-batches save more.

    Args:
        read: For each tensor that tasks read, T views of it, or the tensor T times.
        shared: The shared parameters.
        leaf: The leaf, if there is one.

    Returns:
        None unless operations of known kinds lie between, which have every shared parameter exactly once.
    """
    outputs = [output for views in read for output in views]
    if any(tensor is not None and tensor._backward_hooks for tensor in (*outputs, *shared, leaf)):
        return None
    made = [{skipped(output.grad_fn) for output in views} for views in read]
    if any(len(nodes) > 1 for nodes in made):
        return None
    sources, walk = tuple(node for nodes in made for node in nodes), _Walk(shared, leaf)
    if None in sources or not walk.covers(sources):
        return None
    return BackwardPass(_ordered(walk.steps, sources), sources, tuple(shared), walk.end)


class _Walk:
    """Reads a graph from its end; ``unmet`` has the shared parameters not yet found, with their places."""

    def __init__(self, shared: Sequence[Tensor], leaf: Tensor | None) -> None:
        self.unmet = {id(parameter): place for place, parameter in enumerate(shared)}
        self.leaf, self.end = leaf, None
        self.steps: dict[Node, Step] = {}

    def covers(self, sources: Iterable[Node]) -> bool:
        """Whether known operations lead from the sources to the leaf, if there is one, and to all shared parameters."""
        waiting = [(node, 0) for node in sources]
        # Members of an ensemble are rows of their own at the sources: where there is a leaf, it has the batch's rows.
        batch = max(_rows(node, axis) for node, axis in waiting) if self.leaf is None else sum(self.leaf.shape[:1])
        axes: dict[Node, int] = {}
        while waiting:
            node, axis = waiting.pop()
            if node in axes:
                if axes[node] != axis:
                    return False
                continue
            axes[node] = axis
            # Each row of the batch has a number of rows here, one by one: so the first rows are those of the first.
            if batch and _rows(node, axis) % batch:
                return False
            if self._is_leaf(node, axis, batch):
                self.end = node
            elif (inputs := self._read(node, axis)) is None:
                return False
            else:
                waiting += inputs
        return not self.unmet and (self.end is None) == (self.leaf is None)

    def _is_leaf(self, node: Node, axis: int, batch: int) -> bool:
        is_leaf = self.leaf is not None and getattr(node, "variable", None) is self.leaf
        return is_leaf and axis == 0 and _rows(node, axis) == batch

    def _read(self, node: Node, axis: int) -> list[tuple[Node, int]] | None:
        """Add the operation of a node to the steps, and return the nodes of its inputs; None for an unknown one."""
        reader = READERS.get(node.name())
        found = None if reader is None else reader(node, axis, self._place)
        if found is None:
            return None
        inputs = [(skipped(before), axis) for before, axis in found.inputs]
        self.steps[node] = Step(found.rule, tuple(before for before, _ in inputs))
        return inputs

    def _place(self, node: Node) -> int | None:
        """The place of a shared parameter that no other operation has."""
        while node is not None and node.name() in _KEEPS_ORDER:
            node = node.next_functions[0][0]
        return self.unmet.pop(id(getattr(node, "variable", None)), None)


def _ordered(steps: dict[Node, Step], sources: Sequence[Node]) -> dict[Node, Step]:
    """The steps, each after all those that read its output; factors of factors and unused columns are left out."""
    readers = Counter(before for step in steps.values() for before in step.inputs)
    readers.update(sources)
    order: TopologicalSorter[Node] = TopologicalSorter()
    for node, step in steps.items():
        order.add(node)
        for before in step.inputs:
            order.add(before, node)
    ordered: dict[Node, Step] = {}
    passed: set[Node] = set()
    for node in order.static_order():
        if node in steps and node not in passed:
            ordered[node] = step = _joined(steps[node], steps, readers, passed)
            if isinstance(step.rule, Linear):
                ordered[node] = replace(step, rule=_narrowed(step.rule, step.inputs, steps, readers))
    return ordered


def _joined(step: Step, steps: dict[Node, Step], readers: Counter[Node], passed: set[Node]) -> Step:
    """A factor with the factors directly before it, which nothing else reads; any other step as it is."""
    while isinstance(step.rule, Factor):
        (before,) = step.inputs
        earlier = steps.get(before)
        if earlier is None or not isinstance(earlier.rule, Factor) or readers[before] > 1:
            break
        passed.add(before)
        step = Step(replace(step.rule, factor=earlier.rule.factor * step.rule.factor), earlier.inputs)
    return step


def _narrowed(rule: Linear, inputs: Sequence[Node], steps: dict[Node, Step], readers: Counter[Node]) -> Linear:
    """The layer without cotangents of the columns that lead nowhere: those of values beside a leaf."""
    before = steps.get(inputs[0]) if inputs else None
    if before is None or not isinstance(before.rule, Concatenation) or readers[inputs[0]] > 1:
        return rule
    assert rule.weight_OI is not None, "a layer has an input exactly if its weight was kept for it"
    return replace(rule, weight_OI=rule.weight_OI[:, : sum(before.rule.sizes)])


def _add(waiting: dict[Node, Tensor], found: Iterable[tuple[Node, Tensor]]) -> None:
    """Add cotangents to those that wait at the same place; each is its own memory."""
    for node, cotangent in found:
        there = waiting.get(node)
        if there is None:
            waiting[node] = cotangent
        else:
            waiting[node] = there.add_(cotangent) if there.dtype == cotangent.dtype else there + cotangent


def _rows(node: Node, axis: int) -> int:
    """The size of the dimension of the rows in the tensor that the node made; 0 for a scalar."""
    return int(sum(shape(node)[axis : axis + 1]))
