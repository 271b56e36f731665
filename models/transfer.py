"""The way of a batch to the device: without waiting for what the device still has to do."""

from __future__ import annotations

from torch import Tensor, device


def sent(values: Tensor, to: device) -> Tensor:
    """The values on a device.

    A plain copy to a GPU waits until all that is queued there is done. From pinned memory it is queued itself; torch
    keeps that memory until the copy is over.

    Args:
        values: Tensor on the CPU, or on the device already.
        to: The device.
    """
    if values.device.type == "cpu" and to.type == "cuda":
        return values.pin_memory().to(to, non_blocking=True)
    return values.to(to)
