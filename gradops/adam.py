"""Adam for a method's own T numbers, in numpy and without the epsilon, so that gradients may have any scale."""

from __future__ import annotations

import numpy as np

from gradops.linalg import Array


def adam(slope_T: Array, mean_T: Array, square_T: Array, steps: float, lr: float) -> tuple[Array, Array, Array]:
    """One step.

    Args:
        slope_T: The slope with respect to the numbers.
        mean_T: The slopes' moving average, 0 at first.
        square_T: That of their squares.
        steps: Number of earlier steps.
        lr: The rate.

    Returns:
        What is to be taken off the numbers, and the new averages.

    References:
        Kingma and Ba, Adam, ICLR 2015, algorithm 1 with its rates 0.9 and 0.999.
    """
    mean_T, square_T = 0.9 * mean_T + 0.1 * slope_T, 0.999 * square_T + 0.001 * slope_T**2
    size_T = np.sqrt(square_T / (1 - 0.999 ** (steps + 1)))
    return lr * (mean_T / (1 - 0.9 ** (steps + 1))) / np.maximum(size_T, 1e-300), mean_T, square_T
