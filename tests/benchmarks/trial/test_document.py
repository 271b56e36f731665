"""The committed document has the tables of the committed files, and says what is missing."""

from __future__ import annotations

import pytest

from benchmarks.trial.datasets import DATASETS
from benchmarks.trial.plan import FRESH_SEEDS, SEEDS, Plan
from benchmarks.trial.records import Store
from benchmarks.trial.tables import DOCUMENT, TITLE, chosen_points, missing, page

PLAN, TEXT = Plan(Store()), DOCUMENT.read_text()


def test_the_document_has_every_chosen_point_and_what_is_missing() -> None:
    lines = {*TEXT.splitlines()}
    assert {*missing(PLAN)} <= lines
    for dataset in DATASETS.values():
        for seeds in (SEEDS, FRESH_SEEDS):
            assert {*chosen_points(PLAN, dataset, seeds)} <= lines


@pytest.mark.slow  # the fronts' bootstrap
def test_the_document_has_all_tables_and_none_else() -> None:
    assert TEXT.endswith("\n".join(page(PLAN)) + "\n")
    assert TEXT.count(TITLE) == 1
