"""The loss on a sample of the negative rows, from which a network learns the probabilities of all rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class NegativeSampling:
    r"""The share of the rows without a positive label that are trained on, and what the loss does about it.

    A row with a positive label of any task is kept, every other row with probability ``share``, w. So a task's own
    negatives are not thinned evenly: all of those with another task's positive are there. In the loss of each task
    these count w and the others 1, as do its positives: then every negative of every task counts w on average, whatever
    its features and its other labels, and the task's odds among what counts are 1 / w times those of all rows. The loss
    is that of the logit plus :math:`-\log w`, so that the logit itself is the one of all rows:

    .. math:: q = \frac{p}{p + w (1 - p)}, \qquad \operatorname{logit} q = \operatorname{logit} p - \log w.

    The network therefore needs no correction where probabilities are shown, served or exported, and none is forgotten;
    products of probabilities (``esmm``) and means over an ensemble's members are products and means of those of all
    rows. For one task this is the correction of case-control samples by an offset (King and Zeng, Political Analysis
    2001; He et al., ADKDD 2014, section 6.3, apply it afterwards).

    Args:
        share: The share w, in (0, 1]; 1 changes nothing.
    """

    share: float = 1.0

    def weights(self, labels_BT: Tensor, weight_BT: Tensor | None) -> Tensor | None:
        """The weight of each label in its task's loss.

        Args:
            labels_BT: 0, 1, or NaN where unknown.
            weight_BT: The rows' own weights, if they have some.
        """
        if self.share == 1:
            return weight_BT
        is_certain_B1 = (labels_BT == 1).any(dim=1, keepdim=True)
        share = labels_BT.new_full((), self.share, dtype=torch.float64)
        of_sample_BT = torch.where(is_certain_B1 & (labels_BT == 0), share, 1.0)
        return of_sample_BT if weight_BT is None else weight_BT * of_sample_BT

    def logits(self, logits: Tensor) -> Tensor:
        """The logits of the sampled labels, from those of all rows."""
        return logits if self.share == 1 else logits - math.log(self.share)
