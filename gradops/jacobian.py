"""Task losses to per-task gradients: the only code that calls autograd.

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


@dataclass(frozen=True)
class Roots:
    """T outputs and the cotangent with which each task's gradient starts there."""

    outputs: tuple[Tensor, ...]
    cotangents: tuple[Tensor, ...]

    @cached_property
    def stacked(self) -> Tensor:
        """The cotangents as one tensor, T x the shape of an output."""
        return torch.stack(self.cotangents)

    def weighted(self, weights_T: Tensor) -> Roots:
        """The same with every task's cotangent times its weight."""
        return Roots(self.outputs, tuple(w.to(c.dtype) * c for w, c in zip(weights_T, self.cotangents, strict=True)))


def split(losses_T: Tensor, features: Tensor | Sequence[Tensor] | None, own: Sequence[Tensor]) -> Roots:
    """Go back through the towers: fill the ``.grad`` of their parameters and find the roots of the shared part.

    Args:
        losses_T: Task losses.
        features: The shared representation; as T views of it, one read by each tower, it takes one pass through the
            towers instead of T. None if the model does not tell: each task's root is then its loss.
        own: Parameters that are not shared. Each gets the plain gradient of the losses that reach it.
    """
    views = () if features is None or isinstance(features, Tensor) else tuple(features)
    targets = [*views, *own]
    grads = grad(losses_T.sum(), targets, retain_graph=True, allow_unused=True) if targets else ()
    for parameter, gradient in zip(own, grads[len(views) :], strict=True):
        parameter.grad = gradient
    if isinstance(features, Tensor):
        passes = (grad(loss, features, retain_graph=True, allow_unused=True)[0] for loss in losses_T)
        return Roots((features,) * len(losses_T), tuple(_or_zeros(c, features) for c in passes))
    if views:
        return Roots(views, tuple(_or_zeros(c, v) for c, v in zip(grads, views, strict=False)))
    return Roots(tuple(losses_T), tuple(torch.ones_like(losses_T)))


def each(roots: Roots, shared: Sequence[Tensor], leaf: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Every task's gradient apart: T backward passes through the shared part.

    Returns:
        The gradients in the shared parameters, T x P, and the cotangents at the leaf, T x B x E, if there is one.
    """
    inputs = list(shared) if leaf is None else [*shared, leaf]
    jac_TP = inputs[0].new_empty(len(roots.outputs), sum(p.numel() for p in shared))
    cotangent_TBE = None if leaf is None else leaf.new_empty(len(roots.outputs), *leaf.shape)
    for task, (output, cotangent) in enumerate(zip(roots.outputs, roots.cotangents, strict=True)):
        last = task == len(roots.outputs) - 1
        found = grad(output, inputs, cotangent, retain_graph=not last, allow_unused=True)
        grads = [_or_zeros(g, i) for g, i in zip(found, inputs, strict=True)]
        if shared:
            torch.cat([g.flatten() for g in grads[: len(shared)]], out=jac_TP[task])
        if cotangent_TBE is not None:
            cotangent_TBE[task] = grads[-1]
    return jac_TP, cotangent_TBE


def combined(roots: Roots, shared: Sequence[Tensor], leaf: Tensor | None) -> tuple[list[Tensor], Tensor | None]:
    """The gradient of all roots together: one backward pass through the shared part.

    Returns:
        The gradient in each shared parameter and the cotangent at the leaf, if there is one.
    """
    inputs = list(shared) if leaf is None else [*shared, leaf]
    found = grad(roots.outputs, inputs, roots.cotangents, allow_unused=True)
    grads = [_or_zeros(g, i) for g, i in zip(found, inputs, strict=True)]
    return grads[: len(shared)], None if leaf is None else grads[-1]


def _or_zeros(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient
