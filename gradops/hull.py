"""Exact points of the convex hull of T task gradients, T small, from their Gram matrix alone."""

from __future__ import annotations

import torch
from torch import Tensor

from gradops.linalg import VANISHING, combined_norm, cosines, inverse, norms

# With so few tasks every face of the simplex is tried at once; 2^T - 1 faces are too many for more.
_FEW = 4


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


def steepest_hull_point(gram_TT: Tensor, radius: Tensor) -> Tensor:
    """Weights of the hull point ``x`` that minimises ``g_0 . x + radius |x|``, ``g_0`` the mean gradient.

    On a face of the simplex the minimum has a closed form: stationarity makes the weights linear in one multiplier, and
    their length makes that the root of a quadratic. Up to four tasks every face is tried. Beyond, the face is found by
    bisection: the minimiser is also the shortest point of the hull of ``g_i + tau g_0`` for the one ``tau`` with
    ``|x| = tau radius``.

    Args:
        gram_TT: Gram matrix in float64.
        radius: Less than the length of ``g_0``, at least 0.

    Returns:
        Weights in float64 on the CPU, non-negative, summing to 1. Where the origin is the minimiser no direction is
        best, and a point of the hull is returned that need not be it.
    """
    gram_TT, radius = gram_TT.double().cpu(), radius.double().cpu()
    tasks = len(gram_TT)
    if tasks <= _FEW:
        bits = torch.arange(1, 2**tasks)[:, None] >> torch.arange(tasks)
        return _best(gram_TT, radius, _face_points(gram_TT, radius, (bits & 1).bool()))
    mean_T = gram_TT.mean(1)
    low, high = torch.zeros(()).double(), norms(gram_TT).max() / radius.clamp(min=1e-300)
    candidates = [torch.eye(tasks, dtype=torch.float64)]
    for _ in range(60):
        tau = (low + high) / 2
        shifted_TT = gram_TT + tau * (mean_T + mean_T[:, None]) + tau.square() * mean_T.mean()
        point_T = min_norm_point(shifted_TT)
        on_face = _face_points(gram_TT, radius, (point_T > 0)[None])
        candidates += [point_T[None], on_face]
        if _is_minimum(gram_TT, radius, on_face[0]):
            break
        too_low = combined_norm(gram_TT, point_T) > tau * radius
        low, high = (tau, high) if too_low else (low, tau)
    return _best(gram_TT, radius, torch.cat(candidates))


def _face_points(gram_TT: Tensor, radius: Tensor, face_FT: Tensor) -> Tensor:
    """The minimiser over each face's affine hull; not finite where it has none."""
    scale_T = inverse(norms(gram_TT))
    mask_FTT = face_FT[:, :, None] & face_FT[:, None, :]
    inverse_FTT = torch.linalg.pinv(torch.where(mask_FTT, cosines(gram_TT), 0.0), hermitian=True, rtol=VANISHING)
    ones_FT = scale_T * torch.einsum("fij,j->fi", inverse_FTT, scale_T)
    mean_FT = scale_T * torch.einsum("fij,j->fi", inverse_FTT, scale_T * gram_TT.mean(1))
    first_F, second_F, third_F = ones_FT.sum(1), mean_FT.sum(1), mean_FT @ gram_TT.mean(1)
    root_F = (second_F.square() - first_F * (third_F - radius.square())).sqrt()
    point_FT = (((second_F + root_F) / first_F)[:, None] * ones_FT - mean_FT) / root_F[:, None]
    # A corner is its own minimum, also where the formula is 0 / 0.
    return torch.where(face_FT.sum(1, keepdim=True) == 1, face_FT.double(), point_FT)


def _best(gram_TT: Tensor, radius: Tensor, point_FT: Tensor) -> Tensor:
    """The feasible point with the lowest value."""
    value_F = point_FT @ gram_TT.mean(1) + radius * torch.einsum("fi,ij,fj->f", point_FT, gram_TT, point_FT).sqrt()
    feasible_F = (point_FT >= -1e-12).all(1) & value_F.isfinite()
    best_T = point_FT[torch.where(feasible_F, value_F, torch.inf).argmin()].clamp(min=0)
    return best_T / best_T.sum()


def _is_minimum(gram_TT: Tensor, radius: Tensor, point_T: Tensor) -> bool:
    """Whether a point is on the simplex and no corner lies below it."""
    slope_T = gram_TT.mean(1) + radius * (gram_TT @ point_T) * inverse(combined_norm(gram_TT, point_T))
    scale_T = norms(gram_TT) * combined_norm(gram_TT, torch.full_like(point_T, 1 / len(point_T)))
    return bool((point_T >= -1e-12).all() and (slope_T - point_T @ slope_T >= -1e-10 * scale_T).all())
