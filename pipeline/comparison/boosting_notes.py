"""The sentences on the boosting row below a comparison's table."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.comparison.boosting import ROWS, WITH_IDS, WITHOUT_IDS
from pipeline.comparison.boosting_columns import CATEGORIES
from pipeline.data.prepared import Prepared
from pipeline.evaluation.sample import sampling_step
from pipeline.runs.run import Run


def boosting_notes(prepared: Prepared, runs: Sequence[Run]) -> list[str]:
    """What the baseline is, the share of the rows that it trains on if it is a sample, and the features it left out.

    Args:
        prepared: The data.
        runs: The baseline's runs, one a task.
    """
    words = "boosting: scikit-learn's HistGradientBoostingClassifier, one model a task; Mean Rank is of networks only"
    step = sampling_step(prepared.rows["train"], ROWS)
    sample = "" if step == 1 else f"; trained on one in {step} of {prepared.rows['train']:,} rows"
    choices = [_choice(run) for run in runs if WITH_IDS in run.val[run.tasks[0]]]
    tried = (
        f"boosting was tried with and without the features of more than {CATEGORIES} values; by validation AUC it reads"
    )
    return [words + sample, *([f"{tried} {'; '.join(choices)}"] if choices else [])]


def _choice(run: Run) -> str:
    (task,) = run.tasks
    with_ids, without = (run.val[task][key] for key in (WITH_IDS, WITHOUT_IDS))
    if not run.left_out:
        return f"all features for {task} ({with_ids:.4f}, without {without:.4f})"
    names = ", ".join(f"`{name}`" for name in run.left_out)
    return f"no {names} for {task} ({without:.4f}, with {with_ids:.4f})"
