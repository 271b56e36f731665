"""Tensors of any types that every rank tells all others, in one exchange."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

_ALIGNED = 8  # bytes: a part of a buffer can be read as a type whose size divides the place where it begins


def told_by_all(values: Sequence[Tensor], processes: dist.ProcessGroup | None) -> list[list[Tensor]]:
    """The tensors of each rank, the first rank's first.

    Args:
        values: This rank's tensors; the others have tensors of the same sizes and types.
        processes: The process group; None for the default one.
    """
    parts = [_bytes(value) for value in values]
    mine = torch.cat(parts)
    every_RX = mine.new_empty(dist.get_world_size(processes), len(mine))
    dist.all_gather_into_tensor(every_RX, mine[None], group=processes)
    sizes = [len(part) for part in parts]
    return [
        [part[: value.nbytes].view(value.dtype).view(value.shape) for part, value in zip(one_X, values, strict=True)]
        for one_X in (row_X.split(sizes) for row_X in every_RX)
    ]


def _bytes(value: Tensor) -> Tensor:
    flat = value.detach().contiguous().view(-1).view(torch.uint8)
    return functional.pad(flat, (0, -len(flat) % _ALIGNED))
