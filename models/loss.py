"""The losses of binary tasks with unknown labels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def masked_cross_entropy(logits_BT: Tensor, labels_BT: Tensor, weight_BT: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy of each task over the rows whose label is known, weighted if there are weights.

    Args:
        logits_BT: One logit a row and task.
        labels_BT: 0, 1, or NaN where unknown.
        weight_BT: How much each row counts, finite and from 0 up; None where all count alike.

    Returns:
        T losses in nats; 0 for a task without a known label, or with no weight on those, in the batch.
    """
    known_BT = ~labels_BT.isnan()
    loss_BT = functional.binary_cross_entropy_with_logits(logits_BT, labels_BT.nan_to_num(), reduction="none")
    if weight_BT is not None:
        weight_BT = (weight_BT * known_BT).double()  # the sum of a few large ones is beyond float32
        total_T = weight_BT.sum(0)
        share_BT = weight_BT / total_T.where(total_T > 0, 1.0)
        return (loss_BT * share_BT.to(loss_BT.dtype)).sum(0)
    return (loss_BT * known_BT).sum(0) / known_BT.sum(0).clamp(min=1)
