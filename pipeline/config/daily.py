"""What the scheduled job trains on, and what it asks of a day."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from features.declared import Declared


class DailyConfig(Declared):
    """The scheduled job; see :mod:`pipeline.daily.job`.

    Args:
        window: Most days that a run reads: all but the last two train, then one validates and the newest tests.
        warm_start: Whether a run starts from the weights of the last run that was promoted.
        max_label_ratio: Most that a task's share of positives may differ from that of the training days, as a factor.
        max_auc_drop: Most that a new model's AUC on the day may lie below its AUC on the day before; a day whose labels
            are wrong shows here.
        max_psi: Highest population stability index that a feature may have against the training days; 0 for no limit.
            Parts of timestamps are left out: a day has one weekday.
    """

    window: Annotated[int, Field(ge=3)] = 28
    warm_start: bool = True
    max_label_ratio: Annotated[float, Field(gt=1)] = 2.0
    max_auc_drop: Annotated[float, Field(gt=0)] = 0.05
    max_psi: Annotated[float, Field(ge=0)] = 0.0
