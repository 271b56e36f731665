"""The precisions that embedding tables can be served in, by name; no torch is imported."""

from __future__ import annotations

from typing import Literal

Precision = Literal["float32", "bfloat16", "int8"]
# As tables are trained and stored.
FLOAT32: Precision = "float32"
