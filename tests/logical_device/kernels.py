"""Places of the product where C++ tells the device that tensors really have, or has no operator for CUDA.

- fbgemm's builds for the CPU register no CUDA operator. The fused kernel is made as one for the CPU, on memory that is
  on the logical device; its operators count as operations on the device. ``lazy_adam``, which fbgemm fuses for CUDA
  alone, is refused by the kernel here, as on a CPU.
- A node of the graph knows the real device of its inputs. Where the product brings a constant to a node's device, the
  constant stays where it is, and one of the host's counts as being on the device of the tensors that it meets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from gradops.backward import readers
from models.embedding import fused
from tests.logical_device.placement import UNDECIDED, is_on_device

_FACTOR = readers._factor


@contextmanager
def kernels_for_cpu() -> Iterator[None]:
    """The product's kernels are those of the CPU while the block runs, whatever the tables' device."""
    with patch.dict(fused._PLACES, {"cuda": fused._PLACES["cpu"]}), patch.object(readers, "_factor", _factor):
        yield


def _factor(node: Any, constant: Tensor, axis: int) -> Any:
    made = node._input_metadata[0]
    if not is_on_device(constant):
        with _disable_current_modes():  # a mode is given the number in place of a number's tensor
            constant = constant.clone()
        UNDECIDED.add(constant)
    told = SimpleNamespace(device=constant.device, dtype=made.dtype, shape=made.shape)
    return _FACTOR(SimpleNamespace(_input_metadata=[told]), constant, axis)
