"""The losses of binary tasks with unknown labels."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional


def label_shares(
    labels_BT: Tensor, weight_BT: Tensor | None = None, add_up: Callable[[list[Tensor]], list[Tensor]] = list
) -> Tensor:
    """The share of each label in its task's mean over a batch.

    Args:
        labels_BT: 0, 1, or NaN where unknown.
        weight_BT: Weight of each row, finite and at least 0; None where all count alike.
        add_up: Sums values over all processes that hold rows of the batch; by default this one alone does.

    Returns:
        B x T shares in float64, 0 where a label is unknown; each task's shares add up to 1, or to 0 where no
        label is known or all known rows have weight 0.
    """
    known_BT = ~labels_BT.isnan()
    weight_BT = known_BT.double() if weight_BT is None else (weight_BT * known_BT).double()  # the sums need float64
    (total_T,) = add_up([weight_BT.sum(0)])
    return weight_BT / total_T.where(total_T > 0, 1.0)


def cross_entropy(logits: Tensor, labels_BT: Tensor, share_BT: Tensor) -> Tensor:
    """The rows' contribution to the mean binary cross-entropy of each task over a batch.

    Args:
        logits: One logit a row and task, B x T; or those of an ensemble's K members, B x K x T.
        labels_BT: 0, 1, or NaN where unknown.
        share_BT: The rows' shares of the mean, by :func:`label_shares` of the whole batch.

    Returns:
        T losses in nats; of an ensemble, the means of its members' losses.
    """
    if logits.dim() == 3:
        labels_BT, share_BT = labels_BT.unsqueeze(1), share_BT.unsqueeze(1) / logits.shape[1]
    known = labels_BT.nan_to_num().expand_as(logits)
    loss = functional.binary_cross_entropy_with_logits(logits, known, reduction="none")
    return (loss * share_BT.to(loss.dtype)).flatten(0, -2).sum(0)
