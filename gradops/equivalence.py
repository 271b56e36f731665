"""Methods that are one and the same for a number of tasks, whatever they are called."""

from __future__ import annotations

import torch

from gradops.base import GramianMethod, Method
from gradops.linalg import gramian

_STEPS = 16  # of two tasks, about half the steps are in conflict; a state has as many steps to show itself
_MOST_STEPS = 5000  # methods that begin as others for longer are never called the same
_TOLERANCE = 1e-9  # of weights near 1 in float64, which two ways to compute them round differently


def same_updates(first: Method, second: Method, tasks: int) -> bool:
    """Whether two methods give equal weights, tried on steps of random gradients and losses.

    Methods with rotations, and methods that combine gradients element by element, are never called the same: they are
    more than their weights. Methods that begin as others are tried for longer than that.

    Args:
        first: A method.
        second: Another one.
        tasks: T.

    Example:
        >>> from gradops.methods import parse
        >>> same_updates(parse("pcgrad"), parse("gradops"), 2), same_updates(parse("pcgrad"), parse("gradops"), 3)
        (True, False)
    """
    if not (isinstance(first, GramianMethod) and isinstance(second, GramianMethod)):
        return False
    if first.rotation or second.rotation or first.at_features != second.at_features:
        return False
    steps = _STEPS + max(first.settling, second.settling)
    if steps > _MOST_STEPS:
        return first == second
    generator = torch.Generator().manual_seed(0)
    first_state, second_state = (method.start(tasks, generator) for method in (first, second))
    for _ in range(steps):
        # More columns than tasks: the gradients are independent, and equal updates have equal weights.
        gram_TT = gramian(torch.randn(tasks, tasks + 4, generator=generator, dtype=torch.float64))
        losses_T = torch.rand(tasks, generator=generator) + 0.1
        first_T, first_state = first.step(gram_TT, losses_T, first_state)
        second_T, second_state = second.step(gram_TT, losses_T, second_state)
        if not torch.allclose(first_T, second_T, rtol=_TOLERANCE, atol=_TOLERANCE):
            return False
    return True
