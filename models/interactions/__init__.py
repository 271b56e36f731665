"""Every interaction of features by name. A new one is one file here, its import and its place in the union.

The file's name is the interaction's ``kind``; :mod:`models.interactions.base` is its interface.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from models.interactions.base import InteractionConfig
from models.interactions.dcn_v2 import DCNv2Config
from models.interactions.dot import DotConfig

INTERACTIONS: dict[str, type[InteractionConfig]] = {"dcn_v2": DCNv2Config, "dot": DotConfig}
AnyInteraction = Annotated[DCNv2Config | DotConfig, Field(discriminator="kind")]
