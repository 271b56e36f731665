"""The old name of :mod:`pipeline.serving.scorer`."""

from pipeline.serving.scorer import ARTIFACT, Scorer

__all__ = ["ARTIFACT", "Scorer"]
