"""The memory that is on the logical device, and the pinned memory of the host.

A tensor's place is that of its storage, so that views, detached tensors and those that autograd has saved share it. A
weak reference keeps a storage's address from being used again while it is remembered.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

HOST, DEVICE = torch.device("cpu"), torch.device("cuda", 0)
_PURGED_AT = 4096


class Storages:
    """A set of storages that forgets those whose memory is gone."""

    def __init__(self) -> None:
        self._known: dict[int, StorageWeakRef] = {}
        self._limit = _PURGED_AT

    def add(self, tensor: Tensor) -> None:
        """Remember the memory of a tensor."""
        for part in _dense_parts(tensor):
            reference = StorageWeakRef(part.untyped_storage())
            self._known[reference.cdata] = reference
        if len(self._known) > self._limit:
            self._known = {place: one for place, one in self._known.items() if not one.expired()}
            self._limit = max(_PURGED_AT, 2 * len(self._known))

    def __contains__(self, tensor: Tensor) -> bool:
        # A live storage's address is its own: a remembered one that is gone still holds its address.
        return any(part.untyped_storage()._cdata in self._known for part in _dense_parts(tensor))


def _dense_parts(tensor: Tensor) -> list[Tensor]:
    if tensor.layout == torch.strided:
        return [tensor]
    return [tensor._indices(), tensor._values()]


# Of all logical devices of a process, one after another: what the product keeps between two of them stays in its place.
ON_DEVICE, PINNED = Storages(), Storages()
# Memory that C++ made inside an operation, where it asked for the kind of device that the tensors really have: it is
# on the device of the tensors that it meets.
UNDECIDED = Storages()


def is_placed(tensor: Tensor) -> bool:
    """Whether a tensor has a place at all; tensors on the device "meta" have none."""
    return not tensor.is_meta


def is_on_device(tensor: Tensor) -> bool:
    """Whether a tensor is on the logical device."""
    return is_placed(tensor) and tensor in ON_DEVICE
