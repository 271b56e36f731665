"""The losses of binary tasks with unknown labels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def label_weights(labels_BT: Tensor, weight_BT: Tensor | None = None) -> Tensor:
    """The weight of each label in its task's mean over a batch, in float64, which sums over a batch need.

    Args:
        labels_BT: 0, 1, or NaN where unknown.
        weight_BT: Weight of each row, finite and at least 0; None where all count alike.

    Returns:
        B x T weights, 0 where a label is unknown.
    """
    known_BT = ~labels_BT.isnan()
    return known_BT.double() if weight_BT is None else (weight_BT * known_BT).double()


def label_shares(labels_BT: Tensor, weight_BT: Tensor | None = None) -> Tensor:
    """The share of each label in its task's mean over a batch, where this process has all rows of it.

    Args:
        labels_BT: As for :func:`label_weights`.
        weight_BT: As for :func:`label_weights`.

    Returns:
        Shares as those of :func:`shares_of`.
    """
    weight_BT = label_weights(labels_BT, weight_BT)
    return shares_of(weight_BT, weight_BT.sum(0))


def shares_of(weight_BT: Tensor, total_T: Tensor) -> Tensor:
    """The shares of labels with weights in each task's mean over a batch.

    Args:
        weight_BT: The weights of labels, perhaps of a part of the batch.
        total_T: Their sums over the whole batch.

    Returns:
        B x T shares in float64; over the batch each task's add up to 1, or to 0 where no label is known or all known
        rows have weight 0.
    """
    return weight_BT / total_T.where(total_T > 0, 1.0)


def cross_entropy(logits: Tensor, labels_BT: Tensor, share_BT: Tensor) -> Tensor:
    """The rows' contribution to the mean binary cross-entropy of each task over a batch.

    Args:
        logits: One logit a row and task, B x T; or those of an ensemble's K members, B x K x T.
        labels_BT: 0, 1, or NaN where unknown.
        share_BT: The rows' shares of the mean, by :func:`shares_of` the whole batch.

    Returns:
        T losses in nats; of an ensemble, the means of its members' losses.
    """
    if logits.dim() == 3:
        labels_BT, share_BT = labels_BT.unsqueeze(1), share_BT.unsqueeze(1) / logits.shape[1]
    known = labels_BT.nan_to_num().expand_as(logits)
    loss = functional.binary_cross_entropy_with_logits(logits, known, reduction="none")
    return (loss * share_BT.to(loss.dtype)).flatten(0, -2).sum(0)
