"""A network over tables of which a batch reads few rows, one of them read by two features, and its batches."""

from __future__ import annotations

import torch
from torch import Tensor

from features.encoder import Table
from models.architectures.shared_bottom import SharedBottom
from models.embedding.cut import Bags
from models.embedding.torchrec import TorchRecEmbedding
from tests.models import networks

# Many more rows than a batch reads, so that most wait; "b" is read by two features.
TABLES = [Table("a", 400, 4, ("a",)), Table("b", 300, 6, ("b", "c"))]
ROWS_F = [400, 300, 300]
BATCH, STEPS, LR = 16, 12, 0.1


def model(optimizer: str, *, weighted: bool = False) -> SharedBottom:
    embedding = TorchRecEmbedding(TABLES, optimizer, weighted=weighted)
    net = SharedBottom(embedding, values=networks.VALUES, tasks=networks.TASKS, bottom=(8, 6), tower=(4,), dropout=0.0)
    net.initialise(torch.Generator().manual_seed(0), embedding_std=0.5)
    return net


def bags(seed: int, *, weighted: bool = False) -> Bags:
    """Zero to four ids a bag, half of them out of four rows: read often, while the other rows are rarely read."""
    generator = torch.Generator().manual_seed(seed)
    lengths_FB = torch.randint(0, 5, (3 * BATCH,), generator=generator)
    ids = []
    for rows, entries in zip(ROWS_F, lengths_FB.view(3, BATCH).sum(1).tolist(), strict=True):
        rare_N = torch.randint(0, rows, (entries,), generator=generator)
        ids.append(torch.where(torch.rand(entries, generator=generator) < 0.5, rare_N % 4, rare_N))
    weight_N = torch.rand(int(lengths_FB.sum()), generator=generator) if weighted else None
    return Bags(torch.cat(ids), lengths_FB, weight_N)


def losses(net: SharedBottom, batch: Bags, seed: int) -> tuple[Tensor, dict[str, object]]:
    found = networks.passed(net, batch, networks.values(BATCH, seed).float(), networks.labels(BATCH, seed).float())
    return found.losses_T, {"features": found.views, "pooled": found.cut}
