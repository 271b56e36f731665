"""The old name of :mod:`pipeline.serving.requests`."""

from pipeline.serving.requests import frame_of

__all__ = ["frame_of"]
