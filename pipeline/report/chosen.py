"""The table of the few models that a search by a preset chooses, beside what a user has without one."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from pipeline.comparison.result_file import StudyFile
from pipeline.report.results import Result
from pipeline.report.tables import Table


def chosen(result: Result) -> Table | None:
    """Validation and test AUC of the rivals and of the chosen models, with their differences; None without a choice."""
    file = result.file
    if not isinstance(file, StudyFile) or not file.chosen:
        return None
    splits = {split: file.metrics[split] for split in ("val", "test")}
    rows = [
        _row(name, *({task: found[name][task]["auc"] for task in file.tasks} for found in splits.values()))
        for name in file.baselines
    ]
    for model in file.chosen:
        rows.append(_row(f"{model.name} ({model.role})", model.val, model.test))
        for rival in file.baselines:
            own = {i.task: i for i in file.against_rivals if (i.system, i.against) == (model.name, rival)}
            shown = [str(own[task]) for task in [*file.tasks, None] if task in own]
            rows += [[f"… less {rival}", *shown]] if shown else []
    note = (
        f"AUC on validation, which has chosen among {len(file.points)} trials → on test, which has not; below it the "
        "differences on test with simultaneous intervals"
    )
    return Table("The chosen models", note, ["", *file.tasks, "average"], rows)


def _row(name: str, val: Mapping[str, float], test: Mapping[str, float]) -> list[str]:
    means = f"{fmean(val.values()):.4f} → {fmean(test.values()):.4f}"
    return [name, *(f"{val[task]:.4f} → {test[task]:.4f}" for task in test), means]
