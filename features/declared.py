"""The base of every part of a config."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Declared(BaseModel):
    """A part of a config. It is immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
