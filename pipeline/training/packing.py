"""The state of a run as plain values and tensors, the form in which a checkpoint is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed._shard.sharded_tensor.api import ShardedTensor


@dataclass(frozen=True)
class PackedState:
    """A state whose tensors are apart.

    Args:
        content: Everything but the tensors, in JSON's types; those of keys and of tuples are kept. It shares nothing
            with the state.
        tensors: The tensors by name: the way to each through the state, as ``state.model.table``.
    """

    content: Any
    tensors: dict[str, Tensor]

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> PackedState:
        """Pack a state.

        Args:
            state: Tensors, numbers, text and None in mappings, lists and tuples.

        Raises:
            TypeError: If it holds anything else.
        """
        tensors: dict[str, Tensor] = {}
        return cls(_packed(state, "state", tensors), tensors)

    def copied(self, unchanged: Sequence[str], memory: dict[str, Tensor]) -> PackedState:
        """The same state in the CPU's memory, with tensors of its own.

        Args:
            unchanged: Entries of the state whose tensors nobody changes; those in the CPU's memory are not copied.
            memory: The tensors that the copy before has made, by name, which are written over: new memory takes six
                times as long. Those of this copy take their places.
        """
        kept = tuple(f"state.{name}." for name in unchanged)
        copies = {
            name: _copied(tensor, memory.get(name))
            for name, tensor in self.tensors.items()
            if not name.startswith(kept) or tensor.device.type != "cpu"
        }
        memory.clear()
        memory.update(copies)
        return PackedState(self.content, self.tensors | copies)

    def unpacked(self) -> Any:
        """The state that was packed."""
        return _unpacked(self.content, self.tensors)


@torch.no_grad()
def _copied(tensor: Tensor, memory: Tensor | None) -> Tensor:
    """A tensor, or this rank's part of one, in the CPU's memory: in that of an earlier copy if it fits."""
    parts, places = _parts(tensor), [] if memory is None else _parts(memory)
    if memory is None or [(p.shape, p.dtype) for p in parts] != [(p.shape, p.dtype) for p in places]:
        return tensor.clone() if tensor.device.type == "cpu" else tensor.cpu()
    for part, place in zip(parts, places, strict=True):
        place.copy_(part)
    return memory


def _parts(tensor: Tensor) -> list[Tensor]:
    return [shard.tensor for shard in tensor.local_shards()] if isinstance(tensor, ShardedTensor) else [tensor]


def _packed(value: object, name: str, tensors: dict[str, Tensor]) -> Any:
    """A value in JSON's types, with its tensors moved to ``tensors``."""
    match value:
        case Tensor():
            tensors[name] = value
            return {"tensor": name}
        case Mapping():
            return {"items": [[key, _packed(item, f"{name}.{key}", tensors)] for key, item in value.items()]}
        case tuple():
            return {"tuple": _packed([*value], name, tensors)}
        case list():
            return [_packed(item, f"{name}.{place}", tensors) for place, item in enumerate(value)]
        case None | bool() | int() | float() | str():
            return value
    raise TypeError(f"`state` should hold tensors, numbers and text. Found a {type(value).__name__} at `{name}`.")


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value that :func:`_packed` was given."""
    match value:
        case {"tensor": name}:
            return tensors[name]
        case {"items": pairs}:
            return {key: _unpacked(item, tensors) for key, item in pairs}
        case {"tuple": items}:
            return tuple(_unpacked(items, tensors))
        case list():
            return [_unpacked(item, tensors) for item in value]
    return value
