"""A logical CUDA device over CPU tensors: what a program does with ``device="cuda"`` on a build of torch without CUDA.

Inside :func:`logical_cuda` a tensor or module that is made on or moved to ``"cuda"`` stays in the memory of the CPU and
is remembered as being on ``cuda:0``, as are all results of operations on it. ``.device`` says so, an operation on
tensors of both devices is refused as CUDA refuses it, and every transfer between the two is recorded with the line of
the product that asked for it. Values are those of the CPU's kernels, to the bit.

The way there: a dispatch mode (:mod:`tests.logical_device.mode`) sees every operation below autograd, backward passes
included. It cannot see what torch answers without an operation (``.device``, ``.to`` of a tensor that really is there
already, ``.cpu``, ``.tolist``, ``.numpy``) nor the bindings that refuse "cuda" before they dispatch; these are replaced
in :mod:`torch` while the block runs. A torch function mode would not do: it is off inside torch's own Python functions,
such as those of optimizers and modules. A wrapper subclass on a real device "cuda" is refused by autograd's engine.

What it does not see: errors of CUDA's kernels and their rounding, streams beside the one, memory, and C++ that branches
on the kind of device. The kernels of fbgemm run in their form for the CPU (:mod:`tests.logical_device.kernels`); rules
that fbgemm has for CUDA alone cannot run. Autocast is the CPU's. Processes of several ranks are not covered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.logical_device.generators import GlobalGenerator
from tests.logical_device.kernels import kernels_for_cpu
from tests.logical_device.log import Log
from tests.logical_device.mode import LogicalMode
from tests.logical_device.stand_ins import replaced
from tests.logical_device.streams import Queue


@contextmanager
def logical_cuda() -> Iterator[Log]:
    """One logical device, ``cuda:0``, while the block runs; yields the log of its transfers."""
    log = Log()
    queue, generator = Queue(log), GlobalGenerator()
    with ExitStack() as stack:
        stack.enter_context(replaced(log, queue, generator))
        stack.enter_context(kernels_for_cpu())
        stack.enter_context(LogicalMode(log, queue, generator))
        yield log
