"""Small networks and batches: several entries a bag, repeated ids, empty bags, entry weights, mixed widths."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from features.encoder import EncodedValue, Table
from models.architectures.base import Architecture, HeadTransform, View
from models.architectures.shared_bottom import SharedBottom
from models.embedding.cut import Bags, TableCut
from models.embedding.portable import PortableEmbedding
from models.loss import cross_entropy, label_shares

TABLES = [Table("a", 7, 4, ("a",)), Table("b", 5, 6, ("b",)), Table("c", 11, 4, ("c",))]
NAMES = ("income", "marital", "education")  # as Census-income has them
TASKS = len(NAMES)
VALUES = 2
# Both values encoded, one of them by an encoding with fitted bins.
ENCODED = (EncodedValue(0, "piecewise", (-1.0, -0.2, 0.1, 1.5)), EncodedValue(1, "periodic"))


def bags(batch: int, seed: int, *, weighted: bool) -> Bags:
    """Zero to four ids a bag out of a handful of rows, so that most rows are read many times."""
    generator = torch.Generator().manual_seed(seed)
    lengths_FB = torch.randint(0, 5, (len(TABLES) * batch,), generator=generator)
    entries_F = lengths_FB.view(len(TABLES), batch).sum(1).tolist()
    ids = [torch.randint(0, t.rows, (n,), generator=generator) for t, n in zip(TABLES, entries_F, strict=True)]
    weight_N = torch.rand(sum(entries_F), generator=generator, dtype=torch.float64) if weighted else None
    return Bags(torch.cat(ids), lengths_FB, weight_N)


def as_type(bags: Bags, dtype: torch.dtype) -> Bags:
    return Bags(bags.ids_N, bags.lengths_FB, None if bags.weight_N is None else bags.weight_N.to(dtype))


def network(seed: int = 0, head_transform: HeadTransform | None = None) -> SharedBottom:
    """Two shared layers and one hidden layer a tower, in float64, tables large enough to matter in the Gram matrix."""
    model = SharedBottom(
        PortableEmbedding(TABLES),
        values=VALUES,
        tasks=TASKS,
        bottom=(8, 6),
        tower=(4,),
        dropout=0.0,
        head_transform=head_transform,
    )
    model.double().initialise(torch.Generator().manual_seed(seed), embedding_std=0.5)
    with torch.no_grad():
        for parameter in [*model.bottom.parameters(), *model.towers.parameters()]:
            parameter.mul_(3)  # gradients that reach the tables at full size
    return model


def twin(model: SharedBottom) -> SharedBottom:
    return copy.deepcopy(model)


def values(batch: int, seed: int) -> Tensor:
    return torch.randn(batch, VALUES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels(batch: int, seed: int) -> Tensor:
    """Labels of which some are unknown; the last two tasks disagree with the first, so that gradients conflict."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(0, 2, (batch, 1), generator=generator).double()
    labels_BT = torch.cat([first, 1 - first, torch.randint(0, 2, (batch, 1), generator=generator)], dim=1)
    labels_BT[torch.rand(batch, TASKS, generator=generator) < 0.1] = float("nan")
    return labels_BT


@dataclass(frozen=True)
class Passed:
    """A batch's way through a network, cut at the tables as a training step cuts it."""

    logits_BT: Tensor
    losses_T: Tensor
    views: tuple[View, ...]
    cut: TableCut


def passed(model: Architecture, bags: Bags, value_BV: Tensor, labels_BT: Tensor) -> Passed:
    cut = model.cut(bags)
    logits_BT, views = model.through(cut.leaf_BE, value_BV, cut.own_BX)
    return Passed(logits_BT, mean_losses(logits_BT, labels_BT), views, cut)


def mean_losses(logits_BT: Tensor, labels_BT: Tensor, weight_BT: Tensor | None = None) -> Tensor:
    """Each task's mean over the rows of a whole batch whose label is known."""
    return cross_entropy(logits_BT, labels_BT, label_shares(labels_BT, weight_BT))
