"""Per-task gradients of task losses: the only code that differentiates losses.

A *root* is where a task's gradient enters the shared part of the model: the task's loss itself, or the shared
representation with the task's cotangent, when the model says which tensor that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.autograd import grad

from gradops.backward.graph import empty_blocks, find_backward
from gradops.linalg import to_device

# The tensors that a task reads: z alone, or z and further ones.
Read = Tensor | Sequence[Tensor]


@dataclass(frozen=True)
class Microbatch:
    """Some rows of a batch that go through the network in one pass.

    Args:
        losses_T: The rows' part of the losses of the batch.
        features: The shared representation z of these rows, or T views of it, one read by each task. A task that also
            reads other tensors that lead to something shared, as a gate reads the input, has a sequence of views
            instead: that of z, then those of the others, the same ones for every task. A row of the batch may have
            several rows there, one after another, as the members of an ensemble have.
        leaf_BE: These rows of the cut's leaf, as a separate leaf; None if the model has no cut.
    """

    losses_T: Tensor
    features: Tensor | Sequence[Read] | None = None
    leaf_BE: Tensor | None = None


@dataclass(frozen=True)
class Roots:
    """T outputs and the cotangent with which each task's gradient starts there.

    Args:
        outputs: The losses, or views of the shared representation.
        cotangents: The gradient of each task's loss with respect to its output.
        beside: The roots at the other tensors that the tasks read, where no conflict is measured.
    """

    outputs: tuple[Tensor, ...]
    cotangents: tuple[Tensor, ...]
    beside: tuple[Roots, ...] = ()

    @property
    def everywhere(self) -> tuple[Roots, ...]:
        """The roots at the shared representation, and at each tensor beside it."""
        return (Roots(self.outputs, self.cotangents), *self.beside)

    @cached_property
    def stacked(self) -> Tensor:
        """The cotangents as one tensor, T x the shape of an output, in float32 at least."""
        stacked = torch.stack(self.cotangents)
        return stacked if stacked.dtype.itemsize >= 4 else stacked.float()

    def weighted(self, weights_T: Tensor) -> Roots:
        """The roots with every task's cotangent times its weight."""
        pairs = zip(weights_T.to(self.stacked.dtype), self.stacked, self.outputs, strict=True)
        cotangents = tuple((weight * cotangent).to(output.dtype) for weight, cotangent, output in pairs)
        return Roots(self.outputs, cotangents, tuple(roots.weighted(weights_T) for roots in self.beside))

    def detached(self) -> Roots:
        """The roots without the graph behind them, which is freed."""
        outputs = tuple(output.detach() for output in self.outputs)
        return Roots(outputs, self.cotangents, tuple(roots.detached() for roots in self.beside))


@dataclass(frozen=True)
class TaskGradients:
    """The gradients of T tasks, each kept apart.

    Args:
        blocks: The gradients in each shared parameter, T x numel.
        cotangents: The cotangents at the leaf, B x T x E, of each micro-batch; empty if there is no leaf.
    """

    blocks: list[Tensor]
    cotangents: list[Tensor]

    def plus(self, other: TaskGradients) -> TaskGradients:
        """The gradients of both micro-batches, added in the memory of this one."""
        if self.blocks:
            torch._foreach_add_(self.blocks, other.blocks)
        return TaskGradients(self.blocks, self.cotangents + other.cotangents)

    def replace_blocks(self, blocks: Sequence[Tensor]) -> None:
        """Put other gradients in the place of those in the shared parameters, as their sums over all processes."""
        self.blocks[:] = blocks

    @cached_property
    def cotangent_BTE(self) -> Tensor:
        """The cotangents of all rows."""
        return joined(self.cotangents)

    def combined(self, weights_T: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """The weighted sum over tasks: in each shared parameter, as parts of one memory, and at the leaf, B x E."""
        gradients: list[Tensor] = []
        weights_T = to_device(weights_T, like=next(iter([*self.blocks, *self.cotangents]), weights_T))
        if self.blocks:
            weights_T = weights_T.to(self.blocks[0].dtype)
            sizes = [block.shape[1] for block in self.blocks]
            gradients += weights_T.new_empty(sum(sizes)).split(sizes)
        for block_TP, gradient_P in zip(self.blocks, gradients, strict=True):
            torch.mv(block_TP.T, weights_T, out=gradient_P)
        if not self.cotangents:
            return gradients, None
        return gradients, weights_T.to(self.cotangent_BTE.dtype) @ self.cotangent_BTE


def split(part: Microbatch, own: Sequence[Tensor]) -> Roots:
    """Go back through the towers: add to the ``.grad`` of their parameters and find the roots of the shared part.

    Args:
        part: The micro-batch. Features as T views take one pass through the towers instead of T; without
            features each task's root is its loss.
        own: Parameters that are not shared. Each gets the plain gradient of the losses that reach it.
    """
    losses_T, features = part.losses_T, part.features
    read = [] if features is None or isinstance(features, Tensor) else _read(features)
    views = [view for views in read for view in views]
    targets = [*views, *own]
    grads = grad(losses_T.sum(), targets, retain_graph=True, allow_unused=True) if targets else ()
    for parameter, gradient in zip(own, grads[len(views) :], strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
    if isinstance(features, Tensor):
        passes = (grad(loss, features, retain_graph=True, allow_unused=True)[0] for loss in losses_T)
        return Roots((features,) * len(losses_T), tuple(_or_zeros(c, features) for c in passes))
    if read:
        cotangents, tasks = [_or_zeros(c, v) for c, v in zip(grads, views, strict=False)], len(losses_T)
        starts = range(0, len(views), tasks)
        first, *beside = (Roots(tuple(views[i : i + tasks]), tuple(cotangents[i : i + tasks])) for i in starts)
        return Roots(first.outputs, first.cotangents, tuple(beside))
    return Roots(tuple(losses_T), tuple(torch.ones_like(losses_T)))


def _read(features: Sequence[Read]) -> list[tuple[Tensor, ...]]:
    """For each tensor that tasks read, their views of it; a tensor beside the first that needs no gradient is left out.

    Such a tensor, as an input without tables, leads to nothing that is shared.
    """
    first, *beside = zip(*((one,) if isinstance(one, Tensor) else tuple(one) for one in features), strict=True)
    return [first, *(views for views in beside if views[0].requires_grad)]


@torch.no_grad()
def gradients_apart(
    roots: Roots, shared: Sequence[Tensor], leaf_BE: Tensor | None, rows: int | None = None
) -> TaskGradients:
    """The gradient of each task by itself: one pass of all tasks through known operations, T passes elsewhere.

    Args:
        roots: Starting points of the task gradients. The graph behind them stays.
        shared: The parameters with respect to which gradients are taken.
        leaf_BE: The leaf at which cotangents are taken, if there is one.
        rows: Number of the batch's leading rows that count, None for all; a number needs roots at the shared
            representation.
    """
    starts = roots.everywhere
    counted = [_counted(start, leaf_BE, rows) for start in starts]
    backward = find_backward([start.outputs for start in starts], shared, leaf_BE)
    if backward is not None:
        first = [
            torch.stack([c[:n] for c in start.cotangents], dim=1) for start, n in zip(starts, counted, strict=True)
        ]
        blocks, cotangent_BTE = backward.back(first)
        return TaskGradients(
            blocks, [] if cotangent_BTE is None or leaf_BE is None else [cotangent_BTE.to(leaf_BE.dtype)]
        )
    inputs = list(shared) if leaf_BE is None else [*shared, leaf_BE]
    blocks, cotangents = empty_blocks(len(roots.outputs), shared), []
    for task in range(len(roots.outputs)):
        outputs = [start.outputs[task] for start in starts]
        first = [_only_first(n, start.cotangents[task]) for start, n in zip(starts, counted, strict=True)]
        found = grad(outputs, inputs, first, retain_graph=True, allow_unused=True)
        grads = [_or_zeros(g, i) for g, i in zip(found, inputs, strict=True)]
        for block, gradient in zip(blocks, grads, strict=False):
            block[task] = gradient.flatten()
        cotangents += [] if leaf_BE is None else [grads[-1][:rows]]
    return TaskGradients(blocks, [torch.stack(cotangents, dim=1)] if cotangents else [])


def gradients_together(
    all_roots: Sequence[Roots], shared: Sequence[Tensor], leaves: Sequence[Tensor]
) -> tuple[list[Tensor], Tensor | None]:
    """The gradient of all roots of all micro-batches together: one backward pass through the shared part.

    Returns:
        The gradient in each shared parameter and the cotangents at the leaves, B x E; None without leaves.
    """
    inputs = [*shared, *leaves]
    starts = [start for roots in all_roots for start in roots.everywhere]
    outputs = [output for start in starts for output in start.outputs]
    cotangents = [cotangent for start in starts for cotangent in start.cotangents]
    found = grad(outputs, inputs, cotangents, allow_unused=True)
    grads = [_or_zeros(g, i) for g, i in zip(found, inputs, strict=True)]
    return grads[: len(shared)], joined(grads[len(shared) :]) if leaves else None


def stacked(all_roots: Sequence[Roots]) -> Tensor:
    """The cotangents of all micro-batches, T x B x D."""
    return joined([roots.stacked for roots in all_roots], dim=1)


def joined(parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The rows of all micro-batches."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=dim)


def _or_zeros(gradient: Tensor | None, like: Tensor) -> Tensor:
    if gradient is None:
        return torch.zeros_like(like)
    if gradient.is_sparse:
        fix = "build the embedding with `sparse=False`, or leave the table out and give a cut at its output as `pooled`"
        shape = tuple(like.shape)
        raise ValueError(f"`shared` should have dense gradients. Found a sparse one of shape {shape}: {fix}.")
    return gradient


def batch_of(roots: Roots, leaf_BE: Tensor | None) -> int:
    """Number of a batch's rows: those of the leaf, of which a tensor that tasks read may have several for each."""
    return len(roots.outputs[0] if leaf_BE is None else leaf_BE)


def _counted(roots: Roots, leaf_BE: Tensor | None, rows: int | None) -> int | None:
    """Number of an output's leading rows that belong to the batch's leading rows."""
    return None if rows is None else rows * (len(roots.outputs[0]) // max(batch_of(roots, leaf_BE), 1))


def _only_first(rows: int | None, cotangent: Tensor) -> Tensor:
    """The cotangent with zeros beyond the first rows."""
    if rows is None:
        return cotangent
    return torch.cat([cotangent[:rows], torch.zeros_like(cotangent[rows:])])
