"""Every way to make a step, by the name it is printed under. A new one is one line."""

from __future__ import annotations

from benchmarks.step.fronts import DenseTables, SparseTables, TouchedRows
from benchmarks.step.ours import ours
from benchmarks.step.peers import (
    by_autogram,
    by_autogram_of_bottom,
    by_backward,
    by_features,
    by_mtl_backward,
    naive,
    peer,
    plain,
)
from benchmarks.step.way import Way

UNIFORM = "uniform"  # what every other way is compared with
EXACT = "gradops, exact"

WAYS: dict[str, Way] = {
    UNIFORM: ours("uniform"),
    EXACT: ours("gradops(alpha=-1)"),
    "pcgrad, exact": ours("pcgrad"),
    "gradops, features": ours("gradops(alpha=-1)", "features"),
    "pcgrad, features": ours("pcgrad", "features"),
    "rotograd, cayley": ours("rotograd + rotation(map='cayley')", "features"),
    "torch, sum of losses": peer(plain, SparseTables),
    "torch, sum of losses, dense": peer(plain, DenseTables),
    "naive gradops, dense": peer(naive, DenseTables),
    "naive gradops, rows": peer(naive, TouchedRows),
    "torchjd backward, dense": peer(by_backward, DenseTables),
    "torchjd backward, rows": peer(by_backward, TouchedRows),
    "torchjd mtl_backward, dense": peer(by_mtl_backward, DenseTables),
    "torchjd mtl_backward, rows": peer(by_mtl_backward, TouchedRows),
    "torchjd autogram, dense": peer(by_autogram, DenseTables),
    "torchjd autogram, rows": peer(by_autogram, TouchedRows),
    "torchjd autogram, bottom's Gram": peer(by_autogram_of_bottom, SparseTables),
    "torchjd features": peer(by_features, SparseTables),
}
