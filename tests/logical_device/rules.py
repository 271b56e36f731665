"""What CUDA does in an operation: the operations in which the host waits, and the tensors that may be elsewhere.

From PyTorch's documentation of CUDA semantics and the CUDA kernels' source, as of the pinned version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.logical_device.placement import UNDECIDED, is_on_device, is_placed

# The host waits, since the size of the result or a Python number depends on the values.
_WAITING = {
    "_local_scalar_dense": "a tensor as a Python number or truth value",
    "nonzero": "the number of elements that are not zero",
    "masked_select": "the number of chosen elements",
    "unique_consecutive": "the number of distinct elements",
    "_unique2": "the number of distinct elements",
    "unique_dim": "the number of distinct elements",
    "equal": "a comparison as a truth value",
    "_coalesce": "the number of distinct indices",
    "bincount": "the largest element",
    "_linalg_check_errors": "whether a decomposition has failed",
}
# Operations on matrices and lists take no scalar from the host; all elementwise ones do.
_STRICT = ("mm", "bmm", "mv", "dot", "addmm", "baddbmm", "cat", "stack", "embedding", "sort", "gather", "scatter")
_COPIES = ("_to_copy", "copy_", "_copy_from")
_INDEXED = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")


def name_of(operation: Any) -> str:
    """An operation's name without its namespace and overload."""
    return str(operation._schema.name).rpartition("::")[2]


def tensors_in(values: object) -> list[Tensor]:
    """All tensors with a place among arguments or results."""
    match values:
        case Tensor():
            return [values] if is_placed(values) else []
        case Mapping():
            return [tensor for value in values.values() for tensor in tensors_in(value)]
        case list() | tuple():
            return [tensor for value in values for tensor in tensors_in(value)]
    return []


def wait(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """The reason why the host waits for the device in an operation; None if it does not."""
    name = name_of(operation)
    if not any(map(is_on_device, tensors_in([args, kwargs]))):
        return None
    if name in _INDEXED and any(is_mask(index) for index in args[1] if index is not None):
        return "the number of elements under a mask"
    if name in _INDEXED and is_on_device(args[0]) and any(i is not None and not is_on_device(i) for i in args[1]):
        return "indices of the host"
    if name == "repeat_interleave" and kwargs.get("output_size") is None:
        return "the number of repeated elements"
    return _WAITING.get(name)


def is_mask(index: Tensor) -> bool:
    """Whether an index is a mask, whose true elements have to be counted."""
    return index.dtype in (torch.bool, torch.uint8)


def is_refused(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether CUDA would refuse the arguments because they are on two devices.

    A number in a tensor of no dimension may come from the host, where the operation is elementwise, and so may indices.
    Nothing on the device may enter an operation on the host. fbgemm's operators take rates, and tensors without
    elements in place of what they do not use, from anywhere.
    """
    name, every = name_of(operation), tensors_in([args, kwargs])
    if name in _COPIES or not any(map(is_on_device, every)):
        return False
    if operation.namespace == "fbgemm":
        return any(tensor.dim() and tensor.numel() for tensor in _elsewhere(every))
    indexed = name in _INDEXED and is_on_device(args[0])
    free = {id(index) for index in args[1] if index is not None} if indexed else set()
    strict = name.startswith(("_foreach", "_fused", *_STRICT)) or operation.namespace != "aten"
    left = [tensor for tensor in _elsewhere(every) if id(tensor) not in free]
    return any(strict or tensor.dim() > 0 or _is_written(name, args, tensor) for tensor in left)


def _elsewhere(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors on the host."""
    return [tensor for tensor in tensors if not is_on_device(tensor) and tensor not in UNDECIDED]


def _is_written(name: str, args: Sequence[Any], tensor: Tensor) -> bool:
    """Whether an operation changes a tensor in place: a scalar of the host cannot take the device's result."""
    return name.endswith("_") and args[0] is tensor
