"""Exact points of the convex hull of T task gradients, T small, from their Gram matrix alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gradops.linalg import Array, Mask, combined_norm, cosines, inverse, norms, pseudo_inverse

# A weight below 0 by no more than this is rounded to 0.
_ROUNDING = 1e-12


def min_norm_point(gram_TT: Array) -> Array:
    """Weights of the shortest vector in the convex hull of the task gradients.

    Solves ``min w' K w`` over the simplex exactly, by the active-set method of Lawson and Hanson for the equivalent
    problem ``min_{x >= 0} |sum x_i g_i|^2 + s (sum x_i - 1)^2``, whose solution is ``w`` times a positive factor for
    every ``s > 0`` (so dependent, opposite and zero gradients need no special case).

    Args:
        gram_TT: Gram matrix, any positive scale.

    Returns:
        Weights, non-negative, summing to 1.

    References:
        Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23; Sekitani and Yamamoto,
        A recursive algorithm for finding the minimum norm point in a polytope, 1993.
    """
    lengths_T = norms(gram_TT)
    shortest = lengths_T.min()
    if not shortest > 0:
        return _shares((lengths_T == 0).astype(np.float64))
    # s is the shortest squared length; the variables are scaled so that the problem's matrix has a unit diagonal.
    ratio_T = lengths_T / shortest
    scale_T = 1 / np.hypot(1.0, ratio_T)
    share_T = ratio_T * scale_T
    matrix_TT = cosines(gram_TT) * share_T * share_T[:, None] + scale_T * scale_T[:, None]
    return _shares(nonnegative_least_squares(matrix_TT, scale_T) * scale_T)


def _shares(values_T: Array) -> Array:
    shares_T: Array = values_T / values_T.sum()
    return shares_T


def nonnegative_least_squares(matrix_TT: Array, target_T: Array) -> Array:
    """``argmin_{x >= 0} x'Mx/2 - b'x`` for a positive semi-definite ``M`` with unit diagonal, ``b`` in its range."""
    # The variables above 0 in the unbounded optimum are nearly always those above 0 in the answer.
    solution_T = np.maximum(pseudo_inverse(matrix_TT) @ target_T, 0.0)
    active_T = solution_T > 0
    if active_T.all():
        return solution_T
    least_slope = 1e-12 * np.abs(target_T).max()
    for _ in range(3 * len(target_T)):
        solution_T, active_T = _step_to_optimum(matrix_TT, target_T, solution_T, active_T)
        slope_T = np.where(active_T, -np.inf, target_T - matrix_TT @ solution_T)
        entering = slope_T.argmax()
        if slope_T[entering] <= least_slope:
            break
        active_T[entering] = True
    return solution_T


def _step_to_optimum(matrix_TT: Array, target_T: Array, solution_T: Array, active_T: Mask) -> tuple[Array, Mask]:
    """Move to the optimum over the active variables, dropping each that would turn negative on the way."""
    while True:
        place = active_T.nonzero()[0]
        optimum_T = np.zeros_like(solution_T)
        if not len(place):
            return optimum_T, active_T
        optimum_T[place] = pseudo_inverse(matrix_TT[place[:, None], place]) @ target_T[place]
        blocking_T = active_T & (optimum_T <= 0)
        if not blocking_T.any():
            return optimum_T, active_T
        ratio_T = np.where(blocking_T, solution_T / np.maximum(solution_T - optimum_T, 1e-300), np.inf)
        solution_T = solution_T + ratio_T.min() * (optimum_T - solution_T)
        active_T = active_T & ~(blocking_T & (ratio_T <= ratio_T.min()))
        solution_T = np.where(active_T, solution_T, 0.0)


# A face without a minimum has a point that is not finite; such points are left out by their value.
@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def steepest_hull_point(gram_TT: Array, radius: float, most_tried: int = 4) -> Array:
    """Weights of the hull point ``x`` that minimises ``g_0 . x + radius |x|``, ``g_0`` the mean gradient.

    On a face of the simplex the minimum has a closed form: stationarity makes the weights linear in one multiplier, and
    their length makes that the root of a quadratic. Where the whole simplex is not the face, all 2^T - 1 faces are
    tried if the tasks are few. Otherwise the face is searched: the minimiser is also the shortest point of the hull of
    ``g_i + tau g_0`` for the one ``tau`` with ``|x| = tau radius``.

    Args:
        gram_TT: Gram matrix.
        radius: Less than the length of ``g_0``, at least 0.
        most_tried: Largest number of tasks for which every face is tried.

    Returns:
        Weights, non-negative, summing to 1. Where the origin is the minimiser no direction is best, and some other
        point of the hull may be returned.
    """
    tasks = len(gram_TT)
    mean_T = gram_TT.sum(1) / tasks
    if radius == 0:
        return _shares((mean_T == mean_T.min()).astype(np.float64))
    problem = _Steepest(gram_TT, radius, mean_T, norms(gram_TT), cosines(gram_TT))
    best_T = problem.face_points(np.ones((1, tasks), dtype=bool))[0]
    if not problem.is_minimum(best_T):
        points_FT = problem.face_points(_every_face(tasks)) if tasks <= most_tried else _searched(problem)
        best_T = points_FT[problem.values(points_FT).argmin()]
    return _shares(np.maximum(best_T, 0.0))


@lru_cache
def _every_face(tasks: int) -> Mask:
    """The corners of every face of the simplex, one face a row."""
    return np.asarray((np.arange(1, 2**tasks)[:, None] >> np.arange(tasks)) % 2 == 1)


@dataclass(frozen=True)
class _Steepest:
    """A problem of :func:`steepest_hull_point` with the quantities that all its steps share."""

    gram_TT: Array
    radius: float
    mean_T: Array  # g_0 . g_i
    length_T: Array  # |g_i|
    cosine_TT: Array

    def face_points(self, face_FT: Mask) -> Array:
        """The minimiser over each face's affine hull; not finite where it has none."""
        # Off a face the matrix is the identity, so zero entries stay zero there.
        mask_FTT = face_FT[:, :, None] & face_FT[:, None, :]
        inverse_FTT = pseudo_inverse(np.where(mask_FTT, self.cosine_TT, np.eye(len(self.mean_T))))
        unit_FT = inverse(self.length_T) * face_FT
        ones_FT = unit_FT * (inverse_FTT @ unit_FT[:, :, None])[:, :, 0]
        mean_FT = unit_FT * (inverse_FTT @ (unit_FT * self.mean_T)[:, :, None])[:, :, 0]
        first_F, second_F, third_F = ones_FT.sum(1), mean_FT.sum(1), mean_FT @ self.mean_T
        root_F = np.sqrt(second_F**2 - first_F * (third_F - self.radius**2))
        point_FT = (((second_F + root_F) / first_F)[:, None] * ones_FT - mean_FT) / root_F[:, None]
        # A corner is its own minimum, even where the formula is 0 / 0.
        return np.where(face_FT.sum(1, keepdims=True) == 1, face_FT, point_FT)

    def values(self, point_FT: Array) -> Array:
        """The objective at each point; infinite off the simplex."""
        value_F = point_FT @ self.mean_T + self.radius * np.sqrt((point_FT @ self.gram_TT * point_FT).sum(1))
        return np.where((point_FT >= -_ROUNDING).all(1) & np.isfinite(value_F), value_F, np.inf)

    def is_minimum(self, point_T: Array) -> bool:
        """Whether a point is on the simplex and no corner improves on it."""
        if not (point_T >= -_ROUNDING).all():
            return False
        length = combined_norm(self.gram_TT, point_T)
        slope_T = self.mean_T + (self.radius / length if length > 0 else 0.0) * (self.gram_TT @ point_T)
        rounding_T = 1e-10 * math.sqrt(max(self.mean_T.sum() / len(point_T), 0.0)) * self.length_T
        return bool((slope_T - point_T @ slope_T >= -rounding_T).all())


def _searched(problem: _Steepest) -> Array:
    """Points of the faces met on the way to ``tau``, the last one's on the right face, and the corners."""
    gram_TT, mean_T, radius = problem.gram_TT, problem.mean_T, problem.radius
    mean_square = mean_T.mean()
    low, tau, high = 0.0, math.sqrt(mean_square) / radius, problem.length_T.max() / radius
    found = [np.eye(len(mean_T))]
    for turn in range(60):
        point_T = min_norm_point(gram_TT + tau * (mean_T + mean_T[:, None]) + tau**2 * mean_square)
        on_face_FT = problem.face_points((point_T > 0)[None])
        found += [point_T[None], on_face_FT]
        if problem.is_minimum(on_face_FT[0]):
            break
        low, high = (tau, high) if combined_norm(gram_TT, point_T) > tau * radius else (low, tau)
        # The next guess is nearly always the face's own tau; every other one halves the interval, for speed.
        guess = combined_norm(gram_TT, on_face_FT[0]) / radius
        tau = guess if turn % 2 == 0 and low < guess < high else (low + high) / 2
    return np.concatenate(found)
