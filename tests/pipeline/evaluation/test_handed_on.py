"""Names that other people's code imports from the package."""

from __future__ import annotations

from pipeline import evaluation
from pipeline.evaluation import multitask


def test_the_package_hands_on_the_names_that_others_rely_on() -> None:
    assert evaluation.delta_m_pct is multitask.delta_m_pct
    assert evaluation.mean_rank is multitask.mean_rank
