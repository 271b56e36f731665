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


def combined_norm(gram_TT: Tensor, weights_T: Tensor) -> Tensor:
    """Length of the weighted sum of the task gradients."""
    return torch.einsum("i,ij,j->", weights_T, gram_TT, weights_T).clamp(min=0).sqrt()


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
