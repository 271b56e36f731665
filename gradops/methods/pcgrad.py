"""PCGrad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gradops.base import GramianMethod, State, generator_at
from gradops.linalg import Array, combined_norm, inverse, to_array, to_tensor

Part = Literal["both", "direction", "magnitude"]


@dataclass(frozen=True, kw_only=True)
class PCGrad(GramianMethod):
    r"""Sum of task gradients, each projected in turn onto the normal plane of every other it conflicts with.

    For each task :math:`i`, in a fresh random order of :math:`j \ne i`: where :math:`v_i \cdot g_j < 0`,
    :math:`v_i \leftarrow v_i - (v_i \cdot g_j / \|g_j\|^2)\, g_j`, with :math:`g_j` always the original gradient. The
    order is drawn from a generator kept in the state. With more than two tasks a later projection may bring an earlier
    conflict back, so the update may still conflict.

    Choose it as a cheap and well-known remedy against conflict.

    Args:
        part: ``"both"`` is PCGrad. ``"direction"`` has PCGrad's direction and the length of the plain sum;
            ``"magnitude"`` has the direction of the plain sum and PCGrad's length.

    Raises:
        ValueError: If ``part`` is none of the three.

    References:
        Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, algorithm 1 and the ablations of section 6.4.
        Computed on the Gram matrix, all tasks at once; no other departure.

    Example:
        >>> gram_TT = torch.tensor([[1.0, -0.5], [-0.5, 1.0]])
        >>> method = PCGrad()
        >>> method.weights(gram_TT, torch.ones(2), method.init(2, torch.Generator()))[0]
        tensor([1.5000, 1.5000], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"linear_under_scaling"})
    part: Part = "both"

    def __post_init__(self) -> None:
        if self.part not in get_args(Part):
            raise ValueError(f"`part` should be one of {', '.join(get_args(Part))}. Found `part = {self.part}`.")

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """State with the generator's current position."""
        del num_tasks
        return {"generator": generator.get_state()}

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del losses_T
        known_TT, generator = to_array(gram_TT), generator_at(state["generator"])
        weights_T = self._take_part(known_TT, surgery(known_TT, generator).sum(0))
        return to_tensor(weights_T, like=gram_TT), {"generator": generator.get_state()}

    def _take_part(self, gram_TT: Array, weights_T: Array) -> Array:
        if self.part == "both":
            return weights_T
        plain_T = np.ones_like(weights_T)
        kept_T, length_T = (weights_T, plain_T) if self.part == "direction" else (plain_T, weights_T)
        kept = combined_norm(gram_TT, kept_T)
        return kept_T * (combined_norm(gram_TT, length_T) / kept if kept > 0 else 0.0)


def surgery(gram_TT: Array, generator: torch.Generator) -> Array:
    """The projected gradients as coefficients of the original ones: row i holds those of v_i."""
    row_T = np.arange(len(gram_TT))
    order_OT = random_orders(len(gram_TT), generator)
    inverse_OT = inverse(gram_TT.diagonal())[order_OT]
    coefficients_TT = np.eye(len(gram_TT))
    for other_T, inverse_T in zip(order_OT, inverse_OT, strict=True):
        product_T = np.einsum("ij,ij->i", coefficients_TT, gram_TT[other_T])
        coefficients_TT[row_T, other_T] = -np.minimum(product_T, 0.0) * inverse_T
    return coefficients_TT


def random_orders(tasks: int, generator: torch.Generator) -> npt.NDArray[np.int64]:
    """For every task a fresh random order of the others: column i holds task i's, (T - 1) x T."""
    # Sorting uniform numbers makes every order equally likely; each task's own infinite number sorts last, and is cut.
    draws_TT = torch.rand(tasks, tasks, generator=generator, dtype=torch.float64).numpy()
    draws_TT.flat[:: tasks + 1] = np.inf
    return draws_TT.argsort(axis=1)[:, : tasks - 1].T
