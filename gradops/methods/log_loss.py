"""Logarithms of the losses: scale-invariant weights, and GLS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from torch import Tensor

from gradops.base import GramianMethod, State
from gradops.linalg import to_tensor
from gradops.losses import LEAST_LOSS, known_losses

Common = Literal["one", "geometric_mean"]


@dataclass(frozen=True, kw_only=True)
class LogLoss(GramianMethod):
    r"""The gradient of the sum of the losses' logarithms: every task's weight is one over its loss.

    :math:`\lambda_i = c / L_i`, so that it does not matter in what unit a loss is measured. With ``common="one"``,
    :math:`c = 1`, it is the scale-invariant loss; with :math:`c` the geometric mean of the losses it is GLS, the
    gradient of T times that mean. A task without labels in the batch, whose loss is 0, has weight 0.

    Choose it as the floor that any method for losses of different size should beat: it costs nothing and has no option
    to search.

    Args:
        common: :math:`c`: ``"one"`` or the ``"geometric_mean"`` of the losses.

    Raises:
        ValueError: If ``common`` is neither, or a loss is negative.

    References:
        Navon et al., Nash-MTL, ICML 2022, section 5 ("scale-invariant"); Chennupati et al., MultiNet++, CVPR
        Workshops 2019 (GLS), whose update here is T times the paper's. It is also where IMTL-L's learned
        scales come to rest. A loss below 1e-8 counts as 1e-8.

    Example:
        >>> import torch
        >>> LogLoss().weights(torch.eye(2), torch.tensor([0.5, 0.125]), {})[0]
        tensor([2., 8.], dtype=torch.float64)
    """

    claims: ClassVar[frozenset[str]] = frozenset({"permutation_invariant", "linear_under_scaling"})
    needs_gramian: ClassVar[bool] = False
    reads_losses: ClassVar[bool] = True
    common: Common = "one"

    def __post_init__(self) -> None:
        if self.common not in get_args(Common):
            raise ValueError(f"`common` should be one of {', '.join(get_args(Common))}. Found `{self.common}`.")

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """See :meth:`gradops.base.GramianMethod.weights`."""
        del gram_TT
        loss_T, known_T = known_losses(losses_T)
        loss_T = np.maximum(loss_T, LEAST_LOSS)
        weights_T = np.where(known_T, 1 / loss_T, 0.0)
        if self.common == "geometric_mean" and known_T.any():
            weights_T = weights_T * np.exp(np.log(loss_T[known_T]).mean())
        return to_tensor(weights_T, like=losses_T), state
