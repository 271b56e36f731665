"""The section ``[daily]``: the data of the scheduled job, and its limits for a day."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from features.declared import Declared
from pipeline.config.age import AgeText


class DailyConfig(Declared):
    """The scheduled job; see :mod:`pipeline.daily.job`.

    Args:
        window: Largest number of days of a run: the newest tests, the one before it validates, the others train.
        warm_start: Whether a run starts from the weights of the last promoted run.
        max_label_ratio: Largest factor between a task's share of positives on the day and that of the training days; a
            larger one counts as far as chance rules it out.
        max_auc_drop: Largest drop of a new model's AUC on the day, against the day before and against the kept days of
            the window; a larger one counts as far as chance rules it out. It detects a day with wrong labels.
        max_psi: Highest population stability index that a feature may have against the training days; 0 for no limit.
            Parts of timestamps are exempt, since a day has one weekday.
        keep: Age from which files that nothing needs are removed after each day, as ``14d`` or ``8w``; empty to remove
            nothing. See :mod:`pipeline.cleaning.clean`.
    """

    window: Annotated[int, Field(ge=3)] = 28
    warm_start: bool = True
    max_label_ratio: Annotated[float, Field(gt=1)] = 2.0
    max_auc_drop: Annotated[float, Field(gt=0)] = 0.05
    max_psi: Annotated[float, Field(ge=0)] = 0.0
    keep: AgeText = ""
