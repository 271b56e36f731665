"""Reports in MLflow: a page becomes an artifact of the comparison or study that it shows."""

from __future__ import annotations

from pathlib import Path

from pipeline.tracking.connection import require_store
from pipeline.tracking.store import connect
from pipeline.tracking.tags import FINGERPRINT


def log_report(experiment_name: str, fingerprint: str, report: Path) -> str | None:
    """Log a report to the parent run of its comparison or study.

    Args:
        experiment_name: The experiment's name.
        fingerprint: Fingerprint of the comparison or the study.
        report: The file.

    Returns:
        The id of the parent run; None if it was never recorded.

    Raises:
        AwayError: If the store is away.
    """
    with require_store(f"{report} is written, and not logged to MLflow; give the command again once it is back"):
        client = connect()
        experiment = client.get_experiment_by_name(experiment_name)
        if experiment is None:
            return None
        query = f"tags.`{FINGERPRINT}` = '{fingerprint}'"
        for run in client.search_runs([experiment.experiment_id], query, max_results=1):
            client.log_artifact(run.info.run_id, str(report))
            return str(run.info.run_id)
    return None
