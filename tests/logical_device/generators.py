"""The random generators of the logical device: the global one, and those that are made with a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tests.logical_device.placement import DEVICE

_REAL = torch.Generator


class _Kind(type(_REAL)):  # type: ignore[misc]  # its own metaclass
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _REAL)


class DeviceGenerator(_REAL, metaclass=_Kind):
    """Takes the place of :class:`torch.Generator`, of which one can then be made on the logical device."""

    def __new__(cls, device: Any = "cpu") -> DeviceGenerator:
        """A generator of the CPU, whatever the device."""
        del device
        made: DeviceGenerator = _REAL.__new__(cls, "cpu")  # type: ignore[call-arg]  # torch declares no `__new__`
        return made

    def __init__(self, device: Any = "cpu") -> None:
        if torch.device(device).type == "cuda":
            _OF_DEVICE[_address(self)] = self

    @property
    def device(self) -> torch.device:  # type: ignore[override]  # an attribute there
        """The device that it was made for."""
        return DEVICE if is_of_device(self) else torch.device("cpu")


# Kept alive, so that no other generator gets the address; an operation sees another object at the same address.
_OF_DEVICE: dict[int, torch.Generator] = {}


def is_of_device(generator: torch.Generator) -> bool:
    """Whether a generator draws on the logical device."""
    return _address(generator) in _OF_DEVICE


def _address(generator: torch.Generator) -> int:
    return int(generator._cdata)  # type: ignore[attr-defined]  # torch does not declare it


class GlobalGenerator:
    """The position of the device's global generator, which operations without one of their own draw from."""

    def __init__(self) -> None:
        self._position = _REAL().manual_seed(0).get_state()

    def seed(self, seed: int) -> None:
        """As ``torch.cuda.manual_seed``."""
        self._position = _REAL().manual_seed(seed).get_state()

    def get(self, device: object = "cuda") -> Tensor:
        """As ``torch.cuda.get_rng_state``."""
        return self._position.clone()

    def set(self, position: Tensor, device: object = "cuda") -> None:
        """As ``torch.cuda.set_rng_state``, which refuses positions that are on the device."""
        if position.device.type != "cpu":
            raise TypeError("RNG state must be a torch.ByteTensor")
        self._position = position.clone()

    @contextmanager
    def used(self, *, enabled: bool) -> Iterator[None]:
        """The CPU's global generator draws from this one while the block runs."""
        if not enabled:
            yield
            return
        kept = torch.get_rng_state()
        torch.set_rng_state(self._position)
        try:
            yield
        finally:
            self._position = torch.get_rng_state()
            torch.set_rng_state(kept)
