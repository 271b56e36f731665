"""The losses of binary tasks with unknown labels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def masked_cross_entropy(logits_BT: Tensor, labels_BT: Tensor) -> Tensor:
    """Mean binary cross-entropy of each task over the rows whose label is known.

    Args:
        logits_BT: One logit a row and task.
        labels_BT: 0, 1, or NaN where unknown.

    Returns:
        T losses in nats; 0 for a task with no known label in the batch.
    """
    known_BT = ~labels_BT.isnan()
    loss_BT = functional.binary_cross_entropy_with_logits(logits_BT, labels_BT.nan_to_num(), reduction="none")
    return (loss_BT * known_BT).sum(0) / known_BT.sum(0).clamp(min=1)
