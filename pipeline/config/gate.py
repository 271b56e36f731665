"""The section ``[gate]``: the requirements for a model that is to serve."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt, model_validator

from features.declared import Declared
from features.kinds.base import Count

Margin = Annotated[float, Field(ge=0, lt=1)]
Level = Annotated[float, Field(gt=0.5, lt=1)]
Ratio = Annotated[float, Field(ge=0)]


class GateConfig(Declared):
    """The requirements for a candidate on held-out rows before it becomes champion; no part of a run's identity.

    Args:
        margin: AUC that a task may lose to the champion: a larger loss has to be ruled out with confidence.
        level: That confidence, for all tasks together.
        resamples: Number of resamples of the bootstrap behind it.
        seed: Seed of the bootstrap.
        rows: Largest number of held-out rows to score; of more a sample is scored.
        calibration: Lowest and highest ratio of predicted positives to positives, of every task.
        min_positives: Fewest known positives of every task.
        min_negatives: Fewest known negatives of every task.
        allow_signature_change: Whether the candidate may read other columns than the champion, or predict other tasks.
    """

    margin: Margin = 0.005
    level: Level = 0.95
    resamples: Annotated[int, Field(ge=100)] = 1000
    seed: Count = 0
    rows: PositiveInt = 200_000
    calibration: tuple[Ratio, Ratio] = (0.8, 1.25)
    min_positives: PositiveInt = 100
    min_negatives: PositiveInt = 100
    allow_signature_change: bool = False

    @model_validator(mode="after")
    def _is_range(self) -> GateConfig:
        low, high = self.calibration
        if not low < high:
            raise ValueError(f"`calibration` should be a lower and a higher ratio, found {[low, high]}")
        return self
