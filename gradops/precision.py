"""The precision of products of float32 matrices on CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch


@contextmanager
def products_in(precision: Literal["ieee", "tf32"]) -> Iterator[None]:
    """Products on CUDA are taken in full precision or in TF32, which has three digits, while the block runs.

    The setting is that of the process, and is put back. Gram matrices are always taken in full precision
    (:func:`gradops.linalg.gramian`). Half precision is no setting but a type: autocast gives it to the forward pass.
    """
    matmul = torch.backends.cuda.matmul
    before, matmul.fp32_precision = matmul.fp32_precision, precision
    try:
        yield
    finally:
        matmul.fp32_precision = before
