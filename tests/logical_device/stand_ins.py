"""The names of torch that answer without an operation, replaced while the logical device is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import _disable_current_modes

from tests.logical_device.generators import DeviceGenerator, GlobalGenerator
from tests.logical_device.log import Log
from tests.logical_device.placement import DEVICE, HOST, ON_DEVICE, PINNED, UNDECIDED, is_on_device
from tests.logical_device.streams import Event, Queue, Stream

# Typed as they are called here: with arguments that were given to a stand-in.
_TO: Any = Tensor.to
_TOLIST: Any = Tensor.tolist
_NUMPY: Any = Tensor.numpy
_DEEPCOPY: Any = Tensor.__deepcopy__
_DEVICE: Any = Tensor.device
_NEW: Any = Tensor.new_tensor
_TENSOR: Any = torch.tensor
_AUTOCAST: Any = torch.autocast
_DROPOUT: Any = functional.dropout
_MAKE_GRADS: Any = torch.autograd._make_grads


class _Moved(torch.autograd.Function):
    """A copy on the other device; its gradient comes back."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, device: torch.device) -> Tensor:
        ctx.device = source.device
        return _copy(source, device)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _copy(gradients[0], ctx.device), None


_MOVE: Any = _Moved.apply


def _copy(source: Tensor, device: torch.device) -> Tensor:
    """The values in new memory on a device."""
    with _disable_current_modes():
        made = source.detach().clone()
    if device == DEVICE:
        ON_DEVICE.add(made)
    return made


class _Stand:
    """Replacements for the methods of tensors.

    Args:
        log: Takes the transfers.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def place(self, tensor: Tensor) -> Any:
        return DEVICE if is_on_device(tensor) else _DEVICE.__get__(tensor)

    def to(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        copied = kwargs.pop("copy", False)
        if args and isinstance(args[0], Tensor):
            args, kwargs = (args[0].device, args[0].dtype, *args[1:]), kwargs
        device, dtype, later, form = torch._C._nn._parse_to(*args, **kwargs)
        here = self.place(tensor)
        if device is None or "meta" in (device.type, here.type):
            # The CPU's memory really has it: only the type changes.
            wanted: dict[str, Any] = {"dtype": dtype or tensor.dtype, "copy": copied}
            wanted |= {} if form is None else {"memory_format": form}
            return _TO(tensor, **wanted, **({} if device is None else {"device": device}))
        target = _known(device)
        if target == here:
            changes = {} if form is None else {"memory_format": form}
            return _TO(tensor, dtype=dtype or tensor.dtype, copy=copied, **changes)
        self._transferred(tensor, target, later=later)
        moved = _MOVE(tensor, target) if tensor.requires_grad else _copy(tensor, target)
        return _TO(moved, dtype=dtype or tensor.dtype)

    def _transferred(self, tensor: Tensor, target: torch.device, *, later: bool) -> None:
        if target == DEVICE:
            # Without `non_blocking` torch waits for the stream; from memory that is not pinned the host copies first.
            self._log.add("a copy to the device", waits=not later)
        else:
            self._log.add("a copy to the host", waits=True)

    def cpu(self, tensor: Tensor, **kwargs: Any) -> Any:
        return self.to(tensor, HOST, **kwargs)

    def cuda(self, tensor: Tensor, device: Any = None, non_blocking: bool = False) -> Any:
        return self.to(tensor, DEVICE if device is None else device, non_blocking=non_blocking)

    def tolist(self, tensor: Tensor) -> Any:
        if is_on_device(tensor):
            self._log.add("a list", waits=True)
        return _TOLIST(tensor)

    def numpy(self, tensor: Tensor, *, force: bool = False) -> Any:
        if is_on_device(tensor):
            if not force:
                raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
            self._log.add("an array", waits=True)
        return _NUMPY(tensor, force=force)

    def array(self, tensor: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:
        found = self.numpy(tensor)
        return found if dtype is None else found.astype(np.dtype(dtype), copy=bool(copy))

    def deepcopy(self, tensor: Tensor, memo: dict[int, Any]) -> Tensor:
        known = id(tensor) in memo
        made: Tensor = _DEEPCOPY(tensor, memo)
        if not known and is_on_device(tensor):
            ON_DEVICE.add(made)
        return made

    def pin(self, tensor: Tensor, device: object = None) -> Tensor:
        if is_on_device(tensor):
            raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
        if tensor in PINNED:
            return tensor
        made = tensor.clone()
        PINNED.add(made)
        return made

    def made(self, data: Any, *, device: Any = None, pin_memory: bool = False, **kwargs: Any) -> Any:
        if isinstance(data, Tensor):
            return self.to(data.detach().clone(), device or data.device, **kwargs)
        made = _TENSOR(data, **kwargs)
        return self.to(made, device) if device is not None else made

    def new(self, like: Tensor, data: Any, *, device: Any = None, **kwargs: Any) -> Any:
        made: Tensor = _NEW(like, data, **kwargs)
        # C++ has given it the kind of device that the other really has.
        UNDECIDED.add(made)
        return self.to(made, device or self.place(like))


def _known(device: Any) -> torch.device:
    kind = torch.device(device)
    if kind.type == "cuda" and kind.index not in (None, 0):
        raise RuntimeError("CUDA error: invalid device ordinal")
    return DEVICE if kind.type == "cuda" else kind


def _autocast(device_type: str, *args: Any, **kwargs: Any) -> Any:
    return _AUTOCAST("cpu" if device_type == "cuda" else device_type, *args, **kwargs)


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:  # noqa: A002
    """Dropout; on CUDA it is an operation of its own, elsewhere a product with a drawn factor."""
    if not is_on_device(input) or not training or not 0 < p < 1 or inplace:
        kept: Tensor = _DROPOUT(input, p, training, inplace)
        return kept
    dropped: Tensor = torch.native_dropout(input, p, training)[0]
    return dropped


def _make_grads(outputs: Sequence[Tensor], grads: Sequence[Tensor | None], *args: Any, **kwargs: Any) -> Any:
    """The first gradients of a backward pass, which the engine wants where the outputs are."""
    for output, gradient in zip(outputs, grads, strict=True):
        if isinstance(gradient, Tensor) and is_on_device(gradient) != is_on_device(output):
            expected, found = output.device, gradient.device
            raise RuntimeError(f"invalid gradient: expected device {expected} but got {found}")
    return _MAKE_GRADS(outputs, grads, *args, **kwargs)


def _method(bound: Callable[..., Any]) -> Callable[..., Any]:
    """A function that becomes a method of tensors."""

    def call(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        return bound(tensor, *args, **kwargs)

    return call


@contextmanager
def replaced(log: Log, queue: Queue, generator: GlobalGenerator) -> Iterator[None]:
    """The names, replaced while the block runs."""
    stand, event = _Stand(log), type("Event", (Event,), {"queue": queue})
    methods: dict[str, Callable[..., Any]] = {
        "to": stand.to,
        "cpu": stand.cpu,
        "cuda": stand.cuda,
        "tolist": stand.tolist,
        "numpy": stand.numpy,
    }
    methods |= {"__array__": stand.array, "__deepcopy__": stand.deepcopy, "pin_memory": stand.pin}
    methods |= {"is_pinned": PINNED.__contains__, "new_tensor": stand.new}
    of_torch = {"tensor": stand.made, "Generator": DeviceGenerator, "autocast": _autocast}
    of_cuda = {
        "_lazy_init": lambda: None,
        "Event": event,
        "synchronize": partial(_synchronize, queue),
        "current_stream": partial(Stream, queue),
        "get_rng_state": generator.get,
        "set_rng_state": generator.set,
        "manual_seed": generator.seed,
        "manual_seed_all": generator.seed,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
    }
    of_autograd = {"_make_grads": _make_grads}
    of_modules: dict[Any, dict[str, Any]] = {
        torch: of_torch,
        torch.cuda: of_cuda,
        torch.autograd: of_autograd,
        functional: {"dropout": _dropout},
    }
    with ExitStack() as stack:
        for name, bound in methods.items():
            stack.enter_context(patch.object(Tensor, name, _method(bound)))
        for name, get in {"device": stand.place, "is_cuda": is_on_device}.items():
            stack.enter_context(patch.object(Tensor, name, property(get)))
        for module, names in of_modules.items():
            for name, value in names.items():
                stack.enter_context(patch.object(module, name, value))
        yield


def _synchronize(queue: Queue, device: object = None) -> None:
    Stream(queue).synchronize()
