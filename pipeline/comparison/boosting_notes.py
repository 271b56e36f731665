"""The sentences on the boosting row below a comparison's table."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.comparison.boosting import ROWS, WITH_IDS, WITH_RATES, WITHOUT_IDS
from pipeline.data.prepared import Prepared
from pipeline.evaluation.sample import sampling_step
from pipeline.runs.run import Run
from pipeline.serving.trees.columns import CATEGORIES


def boosting_notes(prepared: Prepared, runs: Sequence[Run]) -> list[str]:
    """What the baseline is, the share of the rows that it trains on if it is a sample, and the features it left out.

    Args:
        prepared: The data.
        runs: The baseline's runs, one a task.
    """
    words = "boosting: LightGBM, one model a task; the better of two settings by validation AUC"
    step = sampling_step(prepared.rows["train"], ROWS)
    sample = "" if step == 1 else f"; trained on one in {step} of {prepared.rows['train']:,} rows"
    choices = [_choice(run) for run in runs if WITH_IDS in run.val[run.tasks[0]]]
    tried = f"boosting was tried with the features of more than {CATEGORIES} values, without them, and with the rates"
    reads = f"{tried} of their values; by validation AUC it reads {'; '.join(choices)}"
    return [f"{words}; Mean Rank is of networks only{sample}", *([reads] if choices else [])]


def _choice(run: Run) -> str:
    (task,) = run.tasks
    names = ", ".join(f"`{name}`" for name in run.left_out)
    words = {WITH_IDS: "all features", WITHOUT_IDS: f"no {names}", WITH_RATES: "the rates"}
    short = {WITH_IDS: "with", WITHOUT_IDS: "without", WITH_RATES: "rates"}
    aucs = {way: run.val[task][way] for way in words if way in run.val[task]}
    figures = ", ".join(f"{short[way]} {auc:.4f}" for way, auc in aucs.items())
    return f"{words[max(aucs, key=aucs.__getitem__)]} for {task} ({figures})"
