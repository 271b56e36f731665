"""An ensemble in one network: members that differ in a scaling of the input and in the last layer of each task.

A row of the batch goes through the shared layers once for each of K members: B rows become N = B K rows, those of one
row of the batch one after another. So no layer between knows of members.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from models.layers.experts import BatchedLinear


class MemberScale(nn.Module):
    """Each member's own factor for every column of the input.

    This is the minimal ensemble adapter of TabM-mini (Gorishniy et al., ICLR 2025): the vectors r of BatchEnsemble in
    the first layer, all others left out. As in the authors' package, factors behind embeddings start normal with
    variance 1, one draw for all columns of a feature; unlike there, numbers without an encoding are drawn alike.

    Args:
        members: Number of members, K, at least 2.
        widths: Number of columns of each feature, X columns together.
    """

    def __init__(self, members: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.members, self._widths = members, list(widths)
        self.scale = nn.Parameter(torch.empty(members, sum(widths)))

    def forward(self, input_BX: Tensor) -> Tensor:
        """N x X: the scaled rows of all members."""
        return (input_BX.unsqueeze(1) * self.scale).flatten(0, 1)

    def apart(self, logits_NT: Tensor) -> Tensor:
        """The logits of each member, B x K x T."""
        return logits_NT.view(-1, self.members, logits_NT.shape[1])

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the factors."""
        draw_KF = self.scale.new_empty(self.members, len(self._widths)).normal_(generator=generator)
        self.scale.copy_(draw_KF.repeat_interleave(torch.tensor(self._widths, device=draw_KF.device), dim=1))


class MemberHeads(BatchedLinear):
    """The last layer of a task, one for each member: from N x D to N x 1.

    Args:
        members: Number of members, K.
        width: Width of the input, D.
    """

    def __init__(self, members: int, width: int) -> None:
        super().__init__(members, width, 1)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name
        """Logits N x 1."""
        members = len(self.weight)
        return super().forward(input.view(-1, members, self.in_features)).reshape(-1, 1)


def mean_logit(logits_BKT: Tensor) -> Tensor:
    """The logit of the members' mean probability, B x T; no probability is formed, so none rounds to 0 or 1."""
    positive_BT, negative_BT = (torch.logsumexp(logsigmoid(sign * logits_BKT), dim=1) for sign in (1, -1))
    return positive_BT - negative_BT
