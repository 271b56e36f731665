"""A page that helps to choose a trade-off: `gradops report configs/census.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.console import AsJson, Overrides, announced, show
from jobs.only_config import only_config

if TYPE_CHECKING:
    from collections.abc import Sequence

_Subject = Annotated[
    str,
    typer.Argument(
        help="Result file (JSON) of a comparison or a search; or a config (TOML), or its name with --runs, for its "
        "newest result.",
        default_factory=lambda: str(only_config()),
        show_default="the only config in this folder",
        callback=announced("report of"),
    ),
]


def main(
    subject: _Subject,
    overrides: Overrides,
    runs: Annotated[Path, typer.Option(help="Folder of runs (the config's `runs`), if the subject is a name.")] = Path(
        "runs"
    ),
    output: Annotated[
        Path | None, typer.Option(help="HTML file to write.", show_default="next to the result file")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write one HTML file that shows a comparison or a search, and log it to MLflow."""
    from jobs.steps import StepBars
    from pipeline.report.report import write_report
    from pipeline.report.results import load_result
    from pipeline.tracking.reports import log_report

    result = load_result(_path(subject, runs, overrides))
    target = output or result.path.with_suffix(".html")
    write_report(result, target, StepBars())
    run_id = log_report(result.name, result.fingerprint, target)
    where = f"; logged to MLflow run {run_id}" if run_id else "; MLflow has no run of it to log it to"
    show(f"{target}{where}", {"file": target, "result": result.path, "mlflow_run_id": run_id}, as_json)


def _path(subject: str, runs: Path, overrides: Sequence[str]) -> Path:
    """The result file of a subject."""
    from pipeline.report.results import newest
    from pipeline.training.resolve import load_config

    if subject.endswith(".json"):
        return Path(subject)
    if subject.endswith(".toml"):
        config = load_config(Path(subject), overrides)
        return newest(config.runs, config.name)
    return newest(runs, subject)
