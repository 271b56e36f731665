"""Projections on the dual cone of T task gradients, T small, from their Gram matrix alone.

A vector is in the dual cone if its product with no task gradient is negative: a step along it hurts no task.
"""

from __future__ import annotations

import numpy as np

from gradops.hull import nonnegative_least_squares
from gradops.linalg import Array, Mask, cosines, inverse, norms

# A slope below this share of the largest is rounding error.
_LEAST_SLOPE = 1e-12
# Entries of a solution up to this, for targets of up to 1, are good to 1e-10.
LARGEST = 1e6
_MOST_TURNS = 12


def project(gram_TT: Array, start_NT: Array) -> Array:
    """Weights of the vectors of the dual cone that are nearest to given combinations of the task gradients.

    The nearest vector to ``sum_i u_i g_i`` is ``sum_i v_i g_i`` with ``v`` minimising ``v'Kv`` over ``v >= u``. With
    ``x = v - u`` that is a least-squares problem over ``x >= 0``.

    Args:
        gram_TT: Gram matrix, any positive scale.
        start_NT: The weights ``u`` of N combinations, at least 0.

    Returns:
        The weights ``v``. Where gradients are dependent they are not unique, the projections are.

    References:
        Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, arXiv 2406.16232, proposition 1; the
        active sets are found by block principal pivoting, Judice and Pires, Computers and Operations Research 1994.
    """
    length_T, cosine_TT = norms(gram_TT), cosines(gram_TT)
    unit_NT = start_NT * length_T
    size_N1 = np.abs(unit_NT).max(axis=1, keepdims=True)
    unit_NT = unit_NT * inverse(size_N1)
    # cosines() gives a zero gradient a 1 on the diagonal; its target is 0 as its weight here is.
    added_NT = least_squares(cosine_TT, -unit_NT @ cosine_TT)
    projected_NT: Array = start_NT + added_NT * size_N1 * inverse(length_T)
    return projected_NT


def least_squares(matrix_TT: Array, target_NT: Array) -> Array:
    """``argmin_{x >= 0} x'Mx/2 - b'x`` for N targets ``b`` at once, ``M`` positive semi-definite with unit diagonal."""
    if (target_NT <= 0).all():
        return np.zeros_like(target_NT)
    solution_NT, solved_N = _pivoted(matrix_TT, target_NT)
    for row in (~solved_N).nonzero()[0]:
        solution_NT[row] = nonnegative_least_squares(matrix_TT, target_NT[row])
    return solution_NT


def _pivoted(matrix_TT: Array, target_NT: Array) -> tuple[Array, Mask]:
    """Solutions, and which of them are known to be right: all, but for nearly dependent gradients and rare cycles."""
    found_NT, solved_N = np.zeros_like(target_NT), np.array((target_NT <= 0).all(axis=1))
    row_P = np.flatnonzero(~solved_N)  # the problems that are left
    active_PT = target_NT[row_P] > 0
    for _ in range(_MOST_TURNS):
        if not len(row_P):
            break
        target_PT = target_NT[row_P]
        solution_PT = solve_within(matrix_TT, active_PT, target_PT)
        if solution_PT is None:
            break
        slope_PT = target_PT - solution_PT @ matrix_TT
        rounding_P1 = _LEAST_SLOPE * np.abs(target_PT).max(axis=1, keepdims=True)
        wrong_PT = (active_PT & (solution_PT <= 0)) | (~active_PT & (slope_PT > rounding_P1))
        right_P = ~wrong_PT.any(axis=1)
        found_NT[row_P[right_P]] = solution_PT[right_P]
        solved_N[row_P[right_P]] = (np.abs(solution_PT[right_P]) < LARGEST).all(axis=1)
        row_P, active_PT = row_P[~right_P], (active_PT ^ wrong_PT)[~right_P]
    return found_NT, solved_N


def solve_within(matrix_TT: Array, within_NT: Mask, target_NT: Array) -> Array | None:
    """Solutions of systems that each have some of a matrix's rows and columns; 0 elsewhere.

    Args:
        matrix_TT: The matrix, with a unit diagonal.
        within_NT: The rows and columns of each of N systems.
        target_NT: Right-hand sides; those outside a system do not count.

    Returns:
        The solutions, good to 1e-10 where they are below :data:`LARGEST` times the targets; None if one does not exist.
    """
    mask_NTT = within_NT[:, :, None] & within_NT[:, None, :]
    try:
        solution_NT1 = np.linalg.solve(
            np.where(mask_NTT, matrix_TT, np.eye(len(matrix_TT))), np.where(within_NT, target_NT, 0.0)[:, :, None]
        )
    except np.linalg.LinAlgError:
        return None
    solution_NT: Array = solution_NT1[:, :, 0]
    return solution_NT
