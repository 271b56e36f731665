"""Every operation below autograd: where its result is, whether CUDA would refuse it, whether the host waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.logical_device import rules
from tests.logical_device.generators import GlobalGenerator, is_of_device
from tests.logical_device.log import Log
from tests.logical_device.placement import DEVICE, HOST, ON_DEVICE, PINNED, UNDECIDED, is_on_device
from tests.logical_device.streams import Queue

Operation = Callable[..., Any]


class LogicalMode(TorchDispatchMode):
    """Runs operations of the logical device on the CPU.

    Args:
        log: Takes the transfers.
        queue: The copies to the host that nobody has waited for.
        generator: The device's global generator.
    """

    def __init__(self, log: Log, queue: Queue, generator: GlobalGenerator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it so
        self._log, self._queue, self._generator = log, queue, generator

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operation."""
        kwargs = dict(kwargs or {})
        asked = _asked(kwargs)
        pinned = bool(kwargs.get("pin_memory"))
        if asked is DEVICE:
            kwargs["device"] = HOST
        if pinned:
            kwargs["pin_memory"] = False
        if rules.is_refused(func, args, kwargs):
            raise RuntimeError(_refusal(func, args, kwargs))
        if reason := rules.wait(func, args, kwargs):
            self._log.add(reason, waits=True)
        if rules.name_of(func) == "copy_":
            return self._copied(func, args, kwargs)
        on_device = any(map(is_on_device, rules.tensors_in([args, kwargs])))
        # A backward pass in C++ asks for the kind of device that the tensors really have.
        there = on_device if asked is None or (asked is HOST and _in_backward()) else asked is DEVICE
        _check_generator(func, args, kwargs, there=there)
        with self._generator.used(enabled=there and torch.Tag.nondeterministic_seeded in func.tags):
            result = func(*args, **kwargs)
        self._place(rules.tensors_in(result), args, kwargs, there=there, pinned=pinned)
        return result

    def _place(
        self, results: list[Tensor], args: Sequence[Any], kwargs: Mapping[str, Any], *, there: bool, pinned: bool
    ) -> None:
        inputs = rules.tensors_in([args, kwargs])
        # Inside a backward pass C++ makes tensors on the kind of device that the others really have.
        undecided = not there and not inputs and _in_backward()
        for tensor in results:
            if there:
                ON_DEVICE.add(tensor)
            if pinned:
                PINNED.add(tensor)
            if undecided or (not there and inputs and all(one in UNDECIDED for one in inputs)):
                UNDECIDED.add(tensor)

    def _copied(self, func: Operation, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
        """A copy into memory that is there."""
        into, source = args[0], args[1]
        to_host = is_on_device(source) and not is_on_device(into)
        later = bool(args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
        if to_host and later and into in PINNED:
            self._log.add("a copy to pinned memory", waits=False)
            return self._queue.copy_later(into, source)
        if to_host:
            self._log.add("a copy to the host", waits=True)
        elif is_on_device(into) and not is_on_device(source) and source not in UNDECIDED and source.dim():
            self._log.add("a copy to the device", waits=not later)
        result: Tensor = func(*args, **kwargs)
        return result


def _in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1


def _asked(kwargs: Mapping[str, Any]) -> torch.device | None:
    """The device that an operation was asked for."""
    device = kwargs.get("device")
    if device is None:
        return None
    kind = torch.device(device)
    if kind.type == "cuda":
        if kind.index not in (None, 0):
            raise RuntimeError("CUDA error: invalid device ordinal")
        return DEVICE
    return HOST if kind.type == "cpu" else kind


def _check_generator(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], *, there: bool) -> None:
    for value in (*args, *kwargs.values()):
        if isinstance(value, torch.Generator) and is_of_device(value) != there:
            wanted, found = ("cuda", "cpu") if there else ("cpu", "cuda")
            raise RuntimeError(f"Expected a '{wanted}' device type for generator but found '{found}' in {func}")


def _refusal(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    named = {a.name: value for a, value in zip(func._schema.arguments, args, strict=False)} | {**kwargs}
    every = [(name, tensor) for name, value in named.items() for tensor in rules.tensors_in(value)]
    found = ", ".join(f"{name} {[*t.shape]} on {'cuda:0' if is_on_device(t) else 'cpu'}" for name, t in every)
    return f"Expected all tensors to be on the same device, but found at least two devices in {func}: {found}"
