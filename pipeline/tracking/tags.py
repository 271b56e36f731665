"""The tags of runs in MLflow. Runs that were recorded earlier are found by these names, so they never change."""

from __future__ import annotations

FINGERPRINT = "gradops.fingerprint"  # of a run that is recorded completely, or of a parent run
RUN = "gradops.run"  # the same fingerprint, set from a run's beginning on
PARENT = "mlflow.parentRunId"
DATA = "gradops.data"
TRIAL, PARETO, STATE = "gradops.trial", "gradops.pareto", "gradops.state"
COMPARED, BASELINES = "gradops.run_ids", "gradops.baseline_run_ids"
COMPARED_AT, COMPARISON = "gradops.compared_at", "gradops.comparison_run_id"
VERDICTS = "gradops.verdicts"
SUMMARY = "gradops.summary"  # of a registered version
