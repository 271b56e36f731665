"""Task losses as methods read them that take logarithms or ratios of losses."""

from __future__ import annotations

from torch import Tensor

from gradops.linalg import Array, Mask, to_array

# A smaller loss counts as this in a denominator; DB-MTL and FAMO add as much.
LEAST_LOSS = 1e-8


def known_losses(losses_T: Tensor) -> tuple[Array, Mask]:
    """The losses, and which tasks have one: 0 is the loss of a task without labels in the batch.

    Raises:
        ValueError: If a loss is negative.
    """
    loss_T = to_array(losses_T)
    if (loss_T < 0).any():
        raise ValueError(f"A method that reads ratios of losses needs losses of at least 0. Found {loss_T.tolist()}.")
    return loss_T, loss_T > 0
