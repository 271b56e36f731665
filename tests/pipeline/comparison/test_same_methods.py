"""The note below a table whose rows are one method under several names."""

from __future__ import annotations

from pipeline.comparison.same_methods import same_methods

SYSTEMS = ["single-task", "uniform", "pcgrad", "mgda", "gradops(alpha=0.0)", "gradops(alpha=-2.0)", "boosting"]


def test_pcgrad_and_gradops_are_one_method_for_two_tasks() -> None:
    assert same_methods(SYSTEMS, 2) == [
        "`pcgrad` and `gradops(alpha=0.0)` are one method for 2 tasks: their rows differ by rounding only."
    ]


def test_they_are_two_methods_for_three_tasks() -> None:
    assert not same_methods(SYSTEMS, 3)


def test_every_set_has_its_sentence() -> None:
    first, second = same_methods(["uniform", "pcgrad", "dw(alpha=0.0)", "cagrad(c=0.0)", "gradops(alpha=0.0)"], 2)
    assert first.startswith("`uniform` and `dw(alpha=0.0)` and `cagrad(c=0.0)` are one method")
    assert second.startswith("`pcgrad` and `gradops(alpha=0.0)` are one method")


def test_a_single_task_needs_no_method() -> None:
    assert same_methods(["uniform", "pcgrad"], 1) == [
        "`uniform` and `pcgrad` are one method for 1 task: their rows differ by rounding only."
    ]
