"""Every way to make a step, by the name it is printed under. A new one is one line."""

from __future__ import annotations

from benchmarks.step.embeddings import DenseTables, SparseTables, TouchedRows
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
from benchmarks.step.setting import Setting
from benchmarks.step.way import Step, Way
from gradops import GramEstimator

UNIFORM = "uniform"  # the way that all others are compared with
EXACT = "gradops, exact"

WAYS: dict[str, Way] = {
    UNIFORM: ours("uniform"),
    EXACT: ours("gradops(alpha=-1)"),
    "pcgrad, exact": ours("pcgrad"),
    "gradops, a quarter of the rows": ours("gradops(alpha=-1)", GramEstimator(share=0.25)),
    "gradops, a sixteenth of the rows": ours("gradops(alpha=-1)", GramEstimator(share=1 / 16, smoothing=0.9)),
    "gradops, a sixteenth, 4th steps": ours("gradops(alpha=-1)", GramEstimator(share=1 / 16, every=4, smoothing=0.9)),
    "gradops, every fourth step": ours("gradops(alpha=-1)", GramEstimator(every=4)),
    "gradops, features": ours("gradops(alpha=-1)", GramEstimator(measure="features")),
    "rotograd, cayley": ours("rotograd + rotation(map='cayley')"),
    "rotograd, exponential": ours("rotograd"),
    "uniform, bfloat16": ours("uniform", half=True),
    "gradops, exact, bfloat16": ours("gradops(alpha=-1)", half=True),
    "uniform, plain tables": ours("uniform", tables="sparse"),
    "gradops, exact, plain tables": ours("gradops(alpha=-1)", tables="sparse"),
    "pcgrad, features, plain tables": ours("pcgrad", GramEstimator(measure="features"), tables="sparse"),
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


def step_of(name: str, setting: Setting) -> Step:
    """The step of a way, on a network of its own."""
    return WAYS[name].on(setting)
