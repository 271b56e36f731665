"""A recorder of the collectives of a step: their names, their bytes, and the code that asks for them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# The names of torch's operations, and the places of the tensors that a process hands in.
_NAMES = {
    "allreduce_": ("all-reduce", 0),
    "broadcast_": ("broadcast", 0),
    "barrier": ("barrier", 0),
    "allgather_": ("all-gather", 1),
    "_allgather_base_": ("all-gather", 1),
    "_reduce_scatter_base_": ("reduce-scatter", 1),
    "alltoall_base_": ("all-to-all", 1),
}
_OURS = ("gradops", "models", "pipeline")
_CALLS = "torch.distributed.distributed_c10d"  # every call from Python passes through it
_PLUMBING = ("gradops.group", "gradops.message", "models.embedding.gathering")


@dataclass(frozen=True)
class Collective:
    """One collective.

    Args:
        name: Its kind, such as ``"all-reduce"``.
        bytes: Size of what this process hands in.
        types: The types of these tensors.
        asker: The function of ours that asks for it, or in whose backward pass a library does.
        library: The library that asks for it, ``"torchrec"`` or ``"torch"`` (DistributedDataParallel); ours if empty.
    """

    name: str
    bytes: int
    types: tuple[str, ...]
    asker: str
    library: str


class Collectives(TorchDispatchMode):
    """Records the collectives of this process while it is active, those of libraries and backward passes included."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives it no types
        self.seen: list[Collective] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Record the operation if it is a collective, and run it."""
        del types
        if func.namespace == "c10d":
            name, place = _NAMES.get(func._opname, (func._opname, 0))
            given = [value for value in tree_leaves(args[place]) if isinstance(value, Tensor)]
            kinds = tuple(str(value.dtype).removeprefix("torch.") for value in given)
            self.seen.append(Collective(name, sum(value.nbytes for value in given), kinds, *_asker()))
        return func(*args, **(kwargs or {}))


def _asker() -> tuple[str, str]:
    """The function of ours that asks, and the library that does so for it."""
    passed = [str(frame.f_globals.get("__name__")) for frame in _frames()]
    asking = next(name for name in passed if name.partition(".")[0] in ("torchrec", *_OURS))
    library = "torchrec" if asking.startswith("torchrec") else "" if _CALLS in passed else "torch"
    ours = next(frame for frame in _frames() if _is_ours(frame))
    return f"{ours.f_globals['__name__']}.{ours.f_code.co_qualname}", library


def _is_ours(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__"))
    return name.partition(".")[0] in _OURS and name not in _PLUMBING


def _frames() -> Iterator[FrameType]:
    """The frames of the calls, from the innermost outwards."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
