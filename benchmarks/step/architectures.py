"""The steps of every architecture: uniform, exact, and measured at the features."""

from __future__ import annotations

from typing import Any

from benchmarks.step.ours import started
from benchmarks.step.setting import Setting
from benchmarks.step.way import Step
from gradops import GramEstimator
from gradops.methods import parse
from models.architectures import parse_architecture
from models.architectures.base_config import ArchitectureConfig

WAYS = {
    "uniform": ("uniform", GramEstimator()),
    "gradops, exact": ("gradops(alpha=-1)", GramEstimator()),
    "gradops, features": ("gradops(alpha=-1)", GramEstimator(measure="features")),
}


def architectures(setting: Setting) -> dict[str, ArchitectureConfig]:
    """Every architecture, interaction, and an ensemble, of the setting's size, which experts and streams share."""
    bottom = list(setting.bottom)
    expert = [max(units // 4, 1) for units in bottom]
    cross = {"kind": "dcn_v2", "rank": 32}
    ensemble = {"bottom": bottom, "dropout": 0.0, "ensemble": 8}
    written: dict[str, dict[str, Any]] = {
        "shared_bottom": {"bottom": bottom, "dropout": 0.0},
        "shared_bottom over dcn_v2": {"bottom": bottom, "dropout": 0.0, "interaction": cross},
        "shared_bottom over dot": {"bottom": bottom, "dropout": 0.0, "interaction": {"kind": "dot"}},
        "finalmlp": {"bottom": [max(units // 2, 1) for units in bottom], "heads": 1},
        "shared_bottom of 8 members": ensemble,
        "mmoe": {"experts": 4, "expert": expert},
        "ple": {"shared_experts": 2, "own_experts": 1, "expert": expert[:1]},
        "stem": {"shared_experts": 2, "own_experts": 1, "expert": expert[:1]},
        "esmm": {"bottom": bottom, "tower": [32], "given": {"task1": "task0"}},
        "aitm": {"bottom": expert, "chain": [f"task{place}" for place in range(setting.tasks)]},
        "dbmtl": {"bottom": bottom, "parents": {"task1": ["task0"]}},
    }
    return {name: parse_architecture({"kind": name.partition(" ")[0], **keys}) for name, keys in written.items()}


def steps(setting: Setting, name: str) -> dict[str, Step]:
    """The ways to make a step of an architecture, each on a network of its own."""
    return {way: step_of(name, way, setting) for way in WAYS}


def step_of(name: str, way: str, setting: Setting) -> Step:
    """A way to make a step of an architecture, both by name, on a network of its own."""
    text, estimator = WAYS[way]
    return started(setting.network(architectures(setting)[name]), method=parse(text), estimator=estimator)
