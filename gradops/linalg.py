"""Linear algebra on T task gradients, T small: everything a method needs is in their T x T Gram matrix."""

from __future__ import annotations

import torch
from torch import Tensor

# Below this share of a gradient's squared length what is left of it after a projection is rounding: 1 - cos^2 of
# float64 Gram entries carries a few times 1e-16.
VANISHING = 1e-13
# The same where the gradients themselves were rounded to float32.
VANISHING_FLOAT32 = 1e-7


def gramian(jac_TP: Tensor, chunk: int = 4096) -> Tensor:
    """Gram matrix of T task gradients, ``K_ij = g_i . g_j``.

    Products are taken in the gradients' own precision over chunks of columns and the chunks are added in float64: one
    float32 product over 10^6 columns is off by 1e-4, this by 1e-8, at the same cost.

    Args:
        jac_TP: One task gradient a row.
        chunk: Columns per product.

    Returns:
        The symmetric T x T matrix in float64.
    """
    tasks, columns = jac_TP.shape
    whole = columns // chunk * chunk
    blocks_NTC = jac_TP[:, :whole].reshape(tasks, -1, chunk).transpose(0, 1)
    rest_TP = jac_TP[:, whole:]
    gram_TT = (blocks_NTC @ blocks_NTC.transpose(1, 2)).double().sum(0) + (rest_TP @ rest_TP.T).double()
    return (gram_TT + gram_TT.T) / 2


def norms(gram_TT: Tensor) -> Tensor:
    """Lengths of the task gradients, in float64."""
    return gram_TT.double().diagonal().clamp(min=0).sqrt()


def cosines(gram_TT: Tensor) -> Tensor:
    """Cosine matrix of the task gradients; a zero gradient has cosine 0 with every other and 1 with itself."""
    unit_T = inverse(norms(gram_TT))
    cosine_TT = (gram_TT.double() * unit_T * unit_T[:, None]).clamp(-1, 1)
    return cosine_TT.fill_diagonal_(1.0)


def inverse(values: Tensor) -> Tensor:
    """Elementwise reciprocal, with 0 for 0."""
    return torch.where(values > 0, 1 / values.clamp(min=torch.finfo(values.dtype).tiny), 0.0)


def span_coefficients(gram_TT: Tensor) -> Tensor:
    """Coefficients of each gradient's projection onto the span of all the others.

    Row ``i`` holds ``a`` with ``Proj g_i = sum_j a_j g_j`` and ``a_i = 0``. Solved on unit gradients by a
    pseudo-inverse, so that neither lengths that differ by many orders nor dependent gradients disturb it.
    """
    tasks = len(gram_TT)
    others = ~torch.eye(tasks, dtype=torch.bool, device=gram_TT.device)
    cosine_TT = cosines(gram_TT)
    # Blanking row and column i, instead of deleting them, leaves one batched problem; the pseudo-inverse ignores them.
    mask_TTT = others[:, :, None] & others[:, None, :]
    inverse_TTT = torch.linalg.pinv(torch.where(mask_TTT, cosine_TT, 0.0), hermitian=True, rtol=VANISHING)
    unit_TT = torch.einsum("ijk,ik->ij", inverse_TTT, torch.where(others, cosine_TT, 0.0))
    lengths_T = norms(gram_TT)
    return torch.where(others, unit_TT, 0.0) * lengths_T[:, None] * inverse(lengths_T)


def min_norm_point(gram_TT: Tensor) -> Tensor:
    """Weights of the shortest vector in the convex hull of the task gradients.

    Solves ``min w' K w`` over the simplex exactly, by the active-set method of Lawson and Hanson for the equivalent
    problem ``min_{x >= 0} |sum x_i g_i|^2 + s (sum x_i - 1)^2``, whose solution is ``w`` times a positive factor for
    every ``s > 0`` (so dependent, opposite and zero gradients need no special case).

    Args:
        gram_TT: Gram matrix, any positive scale.

    Returns:
        Weights in float64, non-negative, summing to 1.

    References:
        Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23; Sekitani and Yamamoto,
        A recursive algorithm for finding the minimum norm point in a polytope, 1993.
    """
    gram_TT = gram_TT.double().cpu()
    lengths_T = norms(gram_TT)
    if not bool((lengths_T > 0).all()):
        weights_T = (lengths_T == 0).double()
        return weights_T / weights_T.sum()
    # s is the shortest squared length; the variables are scaled so that the problem's matrix has a unit diagonal.
    shortest = lengths_T.min()
    scale_T = (1 + (lengths_T / shortest).square()).rsqrt()
    matrix_TT = (cosines(gram_TT) * (lengths_T / shortest) * (lengths_T / shortest)[:, None] + 1) * scale_T
    solution_T = _nonnegative_least_squares(matrix_TT * scale_T[:, None], scale_T) * scale_T
    return solution_T / solution_T.sum()


def _nonnegative_least_squares(matrix_TT: Tensor, target_T: Tensor) -> Tensor:
    """``argmin_{x >= 0} x'Mx/2 - b'x`` for a positive semi-definite ``M`` with unit diagonal."""
    solution_T, active_T = torch.zeros_like(target_T), torch.zeros_like(target_T, dtype=torch.bool)
    for _ in range(3 * len(target_T)):
        slope_T = torch.where(active_T, -torch.inf, target_T - matrix_TT @ solution_T)
        entering = int(slope_T.argmax())
        if float(slope_T[entering]) <= 1e-12 * float(target_T.max()):
            break
        active_T[entering] = True
        solution_T = _step_to_optimum(matrix_TT, target_T, solution_T, active_T)
    return solution_T


def _step_to_optimum(matrix_TT: Tensor, target_T: Tensor, solution_T: Tensor, active_T: Tensor) -> Tensor:
    """Move to the optimum over the active variables, dropping each that would turn negative on the way."""
    while True:
        place = active_T.nonzero().squeeze(1)
        optimum_T = torch.zeros_like(solution_T)
        optimum_T[place] = torch.linalg.pinv(matrix_TT[place[:, None], place], hermitian=True) @ target_T[place]
        blocking = active_T & (optimum_T <= 0)
        if not bool(blocking.any()):
            return optimum_T
        ratio_T = torch.where(blocking, solution_T / (solution_T - optimum_T).clamp(min=1e-300), torch.inf)
        solution_T = solution_T + ratio_T.min() * (optimum_T - solution_T)
        active_T &= ~(blocking & (ratio_T <= ratio_T.min()))
        solution_T = torch.where(active_T, solution_T, 0.0)
