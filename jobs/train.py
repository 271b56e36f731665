"""One training run: `gradops train configs/census.toml --set train.method='gradops(alpha=-2)'`."""

from __future__ import annotations

from dataclasses import asdict

from jobs.console import AsJson, Config, Overrides, locked, show


def main(config: Config, overrides: Overrides, as_json: AsJson = False) -> None:
    """Train one model, or find it done, and record it in MLflow."""
    from jobs.progress import TrainingProgress, surveyed
    from pipeline.comparison import Planned, complete
    from pipeline.config_file import load
    from pipeline.prepare import prepare
    from pipeline.tracking import Tracker

    loaded = load(config, overrides)
    prepared = prepare(loaded)
    planned = [Planned(loaded.train.method, loaded)]
    survey = surveyed(planned, prepared, workers=1)
    with (
        locked(loaded),
        Tracker(loaded, prepared) as tracker,
        TrainingProgress(planned) as progress,
    ):
        (run,) = complete(planned, prepared, [progress, tracker], workers=1)
    lines = [
        f"{task}: test AUC {run.test[task]['auc']:.4f}, validation {run.val[task]['auc']:.4f}" for task in run.tasks
    ]
    data = {"folder": run.folder, "test": run.test, "val": run.val, "bytes": asdict(survey.run)}
    show("\n".join([str(run.folder), *lines]), data, as_json)
