"""The definition of a way: an implementation of the training step that is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from benchmarks.step.setting import Setting, Tables
from gradops.rotation import Rotation, Rotations
from models.architectures.shared_bottom import SharedBottom
from models.embedding.cut import Bags
from models.loss import cross_entropy, label_shares

Step = Callable[[Bags, Tensor], object]


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to make a step, from a batch to stepped weights.

    Args:
        start: A function from a model to its step.
        tables: How tables are held.
        rotation: The rotations that the towers read through; None for none.
    """

    start: Callable[[SharedBottom], Step]
    tables: Tables
    rotation: Rotation | None = None

    def model(self, setting: Setting) -> SharedBottom:
        """A network for this way alone."""
        rotations = None
        if self.rotation is not None:
            rotations = Rotations(self.rotation, tasks=setting.tasks, width=setting.bottom[-1])
        return setting.model(self.tables, rotations)

    def on(self, setting: Setting) -> Step:
        """The way's step on a network of its own."""
        return self.start(self.model(setting))


def mean_losses(logits_BT: Tensor, labels_BT: Tensor) -> Tensor:
    """Each task's mean cross-entropy over a whole batch, as training computes it."""
    return cross_entropy(logits_BT, labels_BT, label_shares(labels_BT))
