"""The precision of the network's products in a step of training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Products of float32 matrices on CUDA are taken in TF32 while the block runs, if ``precision`` is ``"tf32"``.

    The setting is that of the process, and is put back. Gram matrices are taken in full precision under it
    (:func:`gradops.linalg.gramian`). Half precision is no setting but a type: autocast gives it to the forward pass.
    """
    if precision != "tf32":
        yield
        return
    matmul = torch.backends.cuda.matmul
    before, matmul.fp32_precision = matmul.fp32_precision, "tf32"
    try:
        yield
    finally:
        matmul.fp32_precision = before
