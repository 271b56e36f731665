"""Linear algebra on T task gradients, T small, by their T x T Gram matrix, which is all that a method needs.

The Gram matrix itself is formed in torch, where the gradients are. Everything after it is T x T, where a torch call
costs ten times its arithmetic: it is numpy in float64 on the CPU, between :func:`to_array` and :func:`to_tensor`. On a
GPU each look at a number waits for all work that is queued; so a step brings what it needs to the CPU in one transfer
(:func:`to_host`), and what goes back does not wait (:func:`to_device`).
"""

from __future__ import annotations

import math
from contextlib import nullcontext

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gradops.precision import products_in

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Below this share of a gradient's squared length the rest after a projection is rounding error: 1 - cos^2 of float64
# Gram entries has an error of a few times 1e-16.
VANISHING = 1e-13
# The same limit where the gradients themselves were rounded to float32.
VANISHING_FLOAT32 = 1e-7
# Where a matrix has entries up to 1 and its inverse up to this, the inverse is good to 1e-10.
_WELL_CONDITIONED = 1e6
# Below this squared length the squares of float32 entries have lost digits; above float32's range they are infinite.
_SHORTEST = 1e-24
_TINY = float(np.finfo(np.float64).tiny)


def gramian(jac_TP: Tensor, chunk: int = 512) -> Tensor:
    """Gram matrix of T task gradients, ``K_ij = g_i . g_j``.

    Products are taken in the gradients' own precision over chunks of columns and the chunks are added in float64: one
    float32 product over 10^6 columns is off by 1e-4, this sum by 2e-8, at the same cost. Longer chunks
    are no faster, and on some processors off by 2e-7, more than a method takes for rounding.

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
    # TF32, if a process has set it, would leave three digits.
    with products_in("ieee") if jac_TP.device.type == "cuda" else nullcontext():
        gram_TT = (blocks_NTC @ blocks_NTC.transpose(1, 2)).double().sum(0) + (rest_TP @ rest_TP.T).double()
    return (gram_TT + gram_TT.T) / 2


def scaled_gramian(jac_TP: Tensor) -> Tensor:
    """:func:`gramian` of gradients so long or so short that their squares leave the range of their own precision.

    Each gradient is first divided by its largest entry, which costs as much again.
    """
    if not jac_TP.shape[1]:
        return gramian(jac_TP)
    largest_T = jac_TP.abs().amax(1)
    scale_T = torch.where(largest_T > 0, largest_T, 1.0)
    return gramian(jac_TP / scale_T[:, None]) * scale_T.double() * scale_T.double()[:, None]


def is_out_of_range(gram_TT: Array) -> bool:
    """Whether products have overflowed, or squared lengths are so small that products of entries lost digits."""
    squared_T = gram_TT.diagonal()
    return not np.isfinite(gram_TT).all() or bool(((squared_T > 0) & (squared_T < _SHORTEST)).any())


def to_host(*values: Tensor) -> list[Tensor]:
    """The values on the CPU, all of them in one transfer; those that are there as they are."""
    away = [value.detach() for value in values if value.device.type != "cpu"]
    if not away:
        return list(values)
    # float64 holds every value of the smaller types exactly.
    joint = torch.cat([value.double().flatten() for value in away]).cpu()
    parts = iter(zip(joint.split([value.numel() for value in away]), away, strict=True))
    return [v if v.device.type == "cpu" else _as(*next(parts)) for v in values]


def _as(part: Tensor, like: Tensor) -> Tensor:
    return part.view(like.shape).to(like.dtype)


def to_device(values: Tensor, like: Tensor) -> Tensor:
    """The values on the device of ``like``, without waiting for what a GPU still has to do."""
    if values.device.type == "cpu" and like.device.type == "cuda":
        return values.pin_memory().to(like.device, non_blocking=True)
    return values.to(like.device)


def to_array(values: Tensor) -> Array:
    """The values in float64 on the CPU. It may share the tensor's memory, so only read it."""
    array: Array = values.detach().double().cpu().numpy()
    return array


def to_tensor(values: Array, like: Tensor) -> Tensor:
    """The values in float64, on the device of ``like``."""
    return to_device(torch.from_numpy(values), like)


def norms(gram_TT: Array) -> Array:
    """Lengths of the task gradients."""
    return np.sqrt(np.maximum(gram_TT.diagonal(), 0.0))


def cosines(gram_TT: Array) -> Array:
    """Cosine matrix of the task gradients; a zero gradient has cosine 0 with every other and 1 with itself."""
    unit_T = inverse(norms(gram_TT))
    cosine_TT = np.minimum(np.maximum(gram_TT * unit_T * unit_T[:, None], -1.0), 1.0)
    cosine_TT.flat[:: len(gram_TT) + 1] = 1.0
    return cosine_TT


def combined_norm(gram_TT: Array, weights_T: Array) -> float:
    """Length of the weighted sum of the task gradients."""
    return math.sqrt(max(float(weights_T @ gram_TT @ weights_T), 0.0))


def inverse(values: Array) -> Array:
    """Elementwise reciprocal, with 0 for 0."""
    return np.where(values > 0, 1 / np.maximum(values, _TINY), 0.0)


def pseudo_inverse(matrix: Array) -> Array:
    """Pseudo-inverse of a square matrix with entries up to 1, or of each of a stack of them."""
    plain = _safe_inverse(matrix)
    return _svd_inverse(matrix) if plain is None else plain


def _safe_inverse(matrix: Array) -> Array | None:
    """The inverse where it is well conditioned: a fourth of a pseudo-inverse's cost, and the same to 1e-10."""
    try:
        plain = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    except np.linalg.LinAlgError:
        return None
    return plain if np.abs(plain).max() < _WELL_CONDITIONED else None


def _svd_inverse(matrix: Array) -> Array:
    return np.asarray(np.linalg.pinv(matrix, rtol=VANISHING), dtype=np.float64)


def span_coefficients(gram_TT: Array) -> Array:
    """Coefficients of each gradient's projection onto the span of all the others.

    Row ``i`` holds ``a`` with ``Proj g_i = sum_j a_j g_j`` and ``a_i = 0``. It is solved on unit gradients, so lengths
    may differ by many orders of magnitude.
    """
    unit_TT, lengths_T = _unit_span_coefficients(cosines(gram_TT)), norms(gram_TT)
    unit_TT.flat[:: len(gram_TT) + 1] = 0.0
    return unit_TT * lengths_T[:, None] * inverse(lengths_T)


def _unit_span_coefficients(cosine_TT: Array) -> Array:
    """The coefficients of :func:`span_coefficients` for unit gradients; the diagonal is undefined."""
    inverse_TT = _safe_inverse(cosine_TT)
    if inverse_TT is not None:
        # Row i of the inverse is orthogonal to every other row of the matrix: it is g_i less its projection, scaled.
        return -inverse_TT / inverse_TT.diagonal()[:, None]
    # Dependent gradients: one problem for each i. Blanking row and column i, instead of deleting them, leaves one
    # stack of matrices; the pseudo-inverse ignores them.
    others = ~np.eye(len(cosine_TT), dtype=bool)
    mask_TTT = others[:, :, None] & others[:, None, :]
    inverse_TTT = _svd_inverse(np.where(mask_TTT, cosine_TT, 0.0))
    return (inverse_TTT @ np.where(others, cosine_TT, 0.0)[:, :, None])[:, :, 0]
