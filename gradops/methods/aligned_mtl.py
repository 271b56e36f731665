"""Aligned-MTL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.linalg import Array, to_array, to_tensor

Scale = Literal["min", "median", "rmse"]

# A smaller eigenvalue, as a share of the largest, has lost too many digits to scale by.
_LEAST = 1e-10


@dataclass(frozen=True, kw_only=True)
class AlignedMTL(GramianMethod):
    r"""Sum of task gradients whose principal components have been brought to one length.

    With :math:`K = V \Lambda V^\top` of the Gram matrix's eigenvalues above 0, the weights are :math:`\sqrt{s}\, V
    \Lambda^{-1/2} V^\top 1`: the task gradients become the nearest system of orthogonal ones of length
    :math:`\sqrt{s}`, and are then summed. A weight may be negative, and the update may conflict with a task whose
    gradient is short.

    Choose it where a few directions that tasks share, or one task, take all of the update.

    Args:
        scale: :math:`s`: the ``"min"`` of the eigenvalues, their ``"median"`` (of two middle ones the smaller), or
            their mean, ``"rmse"``.

    Raises:
        ValueError: If ``scale`` is none of the three.

    References:
        Senushkin et al., Independent Component Alignment for Multi-Task Learning, CVPR 2023, algorithm 1; ``"median"``
        and ``"rmse"`` are those of the authors' code. The update is T times that of a preference of 1/T each.
        Eigenvalues below 1e-10 of the largest count as 0, since smaller ones are rounding in their fifth digit; the
        authors' limit, T times the rounding error of one number, lets the noise of dependent gradients become
        :math:`s`.

    Example:
        >>> import torch
        >>> AlignedMTL().weights(torch.tensor([[1.0, 0.0], [0.0, 9.0]]), torch.ones(2), {})[0]
        tensor([1.0000, 0.3333], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling"})
    scale: Scale = "min"

    def __post_init__(self) -> None:
        if self.scale not in get_args(Scale):
            raise ValueError(f"`scale` should be one of {', '.join(get_args(Scale))}. Found `scale = {self.scale}`.")

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        return to_tensor(self._weights(to_array(gram_TT)), like=gram_TT), state

    def _weights(self, gram_TT: Array) -> Array:
        largest = gram_TT.diagonal().max()
        if not largest > 0:
            return np.ones(len(gram_TT))
        value_T, vector_TT = np.linalg.eigh(gram_TT / largest)
        kept = value_T > _LEAST * value_T[-1]
        value_R, vector_TR = value_T[kept], vector_TT[:, kept]
        weights_T: Array = vector_TR @ (np.sqrt(self._size(value_R) / value_R) * vector_TR.sum(axis=0))
        return weights_T

    def _size(self, value_R: Array) -> float:
        """``s`` of the eigenvalues in ascending order."""
        of = {"min": value_R[0], "median": value_R[(len(value_R) - 1) // 2], "rmse": value_R.mean()}
        return float(of[self.scale])
