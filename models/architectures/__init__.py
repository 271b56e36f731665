"""Every architecture by name. A new one is one file here and the line that imports its config.

The file's name is the architecture's ``kind``; its interface is :mod:`models.architectures.base` and
:mod:`models.architectures.base_config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import isclass
from typing import Any

from features.nearest import nearest
from models.architectures.aitm import AITMConfig as AITMConfig
from models.architectures.base_config import DEFAULT_KIND, ArchitectureConfig
from models.architectures.dbmtl import DBMTLConfig as DBMTLConfig
from models.architectures.esmm import ESMMConfig as ESMMConfig
from models.architectures.finalmlp import FinalMLPConfig as FinalMLPConfig
from models.architectures.mmoe import MMoEConfig as MMoEConfig
from models.architectures.ple import PLEConfig as PLEConfig
from models.architectures.shared_bottom import SharedBottomConfig as SharedBottomConfig
from models.architectures.stem import STEMConfig as STEMConfig

ARCHITECTURES: dict[str, type[ArchitectureConfig]] = {
    config.__module__.rpartition(".")[2]: config
    for config in globals().copy().values()
    if isclass(config) and issubclass(config, ArchitectureConfig) and config is not ArchitectureConfig
}


def parse_architecture(content: Mapping[str, Any]) -> ArchitectureConfig:
    """Turn the keys of ``[model]`` into the config of the architecture that they name.

    Args:
        content: The keys as written; without ``kind`` they are those of the shared bottom.

    Raises:
        ValidationError: If keys are unknown or values wrong: pydantic's, which lists all of them.
        ValueError: If ``kind`` names no architecture.
    """
    kind = content.get("kind", DEFAULT_KIND)
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        near = f"did you mean `{name}`? " if (name := nearest(str(kind), ARCHITECTURES)) else ""
        raise ValueError(f"model.kind: {near}an architecture is one of {', '.join(ARCHITECTURES)}, found {kind!r}")
    return ARCHITECTURES[kind].model_validate(dict(content))
