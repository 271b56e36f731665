"""Rotations of skew-symmetric matrices, and the pull-back of gradients, by matrix products and one inverse at most.

A map takes T skew-symmetric matrices :math:`A` to rotations :math:`R`. It also returns the pull-back, the function that
turns a gradient with respect to :math:`R` into one with respect to :math:`A`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import grad

Pull = Callable[[Tensor], Tensor]

_DEGREE = 12  # degree of the exponential's polynomial, which takes five products


def cayley(skew_TSS: Tensor) -> tuple[Tensor, Pull]:
    r"""The rotations :math:`(I - A/2)^{-1} (I + A/2)`, and their pull-back.

    With :math:`W = (I - A/2)^{-1}` they are :math:`2W - I`, and :math:`dR = W\,dA\,W`.
    """
    identity_SS = _identity(skew_TSS)
    # One matrix at a time: with two threads, MKL hangs on some batches of matrices of 64 rows and more. They are
    # transposed, which is the solver's own layout. None is ever singular, so there is no check to wait for.
    divisor_TSS = torch.sub(identity_SS, skew_TSS, alpha=0.5)
    inverse_TSS = torch.stack([torch.linalg.inv_ex(m.mT).inverse.mT for m in divisor_TSS])
    rotation_TSS = torch.add(-identity_SS, inverse_TSS, alpha=2)
    return rotation_TSS, lambda slope_TSS: inverse_TSS.mT @ slope_TSS @ inverse_TSS.mT


def exponential(skew_TSS: Tensor) -> tuple[Tensor, Pull]:
    r"""The rotations :math:`e^A`, and their pull-back; equal to :func:`torch.matrix_exp` up to rounding.

    torch's backward pass takes the exponential of matrices twice as wide; this pull-back takes two products for each
    product of the forward pass.
    """
    with torch.enable_grad():
        leaf_TSS = skew_TSS.detach().requires_grad_()
        rotation_TSS = _exponential(leaf_TSS)
    return rotation_TSS.detach(), lambda slope_TSS: grad(rotation_TSS, leaf_TSS, slope_TSS, retain_graph=True)[0]


def _exponential(skew_TSS: Tensor) -> Tensor:
    """Taylor's polynomial of the matrix halved some times, then squared the same number of times."""
    second_TSS, identity_SS = skew_TSS @ skew_TSS, _identity(skew_TSS)
    if _is_tiny(second_TSS.detach()):
        return torch.add(identity_SS + skew_TSS, second_TSS, alpha=0.5)
    fourth_TSS = second_TSS @ second_TSS
    squarings = _halvings(fourth_TSS.detach())
    share = 0.5**squarings
    third_TSS = (second_TSS @ skew_TSS) * share**3
    first_TSS, second_TSS, fourth_TSS = skew_TSS * share, second_TSS * share**2, fourth_TSS * share**4

    def four(term: int) -> Tensor:
        """Four terms of the polynomial, without the power of the matrix that they have in common."""
        one, two, three, last = (1 / math.factorial(term + n) for n in range(4))
        sum_TSS = torch.add(one * identity_SS, first_TSS, alpha=two)
        return sum_TSS.add(second_TSS, alpha=three).add(third_TSS, alpha=last)

    rotation_TSS = torch.add(four(8), fourth_TSS, alpha=1 / math.factorial(_DEGREE))
    for term in (4, 0):
        rotation_TSS = torch.baddbmm(four(term), fourth_TSS, rotation_TSS)
    for _ in range(squarings):
        rotation_TSS = rotation_TSS @ rotation_TSS
    return rotation_TSS


def _is_tiny(second_TSS: Tensor) -> bool:
    """Whether matrices, given as squares, are so small that three terms give rotations and pull-back to rounding.

    Those of a run's first steps are. Their higher powers are denormal numbers, whose products take ten times as long.
    """
    return float(torch.linalg.matrix_norm(second_TSS, 1).max()) < 2 * torch.finfo(second_TSS.dtype).eps


def _halvings(fourth_TSS: Tensor) -> int:
    """Number of halvings of matrices, given as fourth powers, that brings the polynomial's error down to rounding."""
    # The polynomial's error follows the spectral norm. Its fourth power is, where matrices are skew-symmetric, an
    # eigenvalue of the fourth power, and no norm of that is smaller.
    norm = float(torch.linalg.matrix_norm(fourth_TSS, 1).max()) ** 0.25
    longest = (torch.finfo(fourth_TSS.dtype).eps * math.factorial(_DEGREE + 1)) ** (1 / (_DEGREE + 1))
    # Matrices that are not finite stay so without halvings.
    return max(0, math.ceil(math.log2(norm / longest))) if 0 < norm < math.inf else 0


def _identity(skew_TSS: Tensor) -> Tensor:
    return torch.eye(skew_TSS.shape[1], dtype=skew_TSS.dtype, device=skew_TSS.device)
