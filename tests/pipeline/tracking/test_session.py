"""The errors of a run that should be recorded by now."""

from __future__ import annotations

from pathlib import Path

from features.errors import InputError
from pipeline.runs.run import Run
from pipeline.tracking.connection import RetryPolicy, StoreConnection
from pipeline.tracking.errors import AwayError
from pipeline.tracking.pending import PendingRuns
from pipeline.tracking.session import StoreSession

RUN = Run(Path("runs/0123456789abcdef"), ["buy"], "uniform", 0, 0, {}, {}, [])


def session(folder: Path) -> StoreSession:
    connection = StoreConnection("sqlite:///mlflow.db", str(folder), RetryPolicy())
    return StoreSession("shop", "data", None, PendingRuns(folder), connection)


def test_a_run_of_another_store_is_named_with_the_way_out(tmp_path: Path) -> None:
    error = session(tmp_path).missing_error(RUN)
    assert isinstance(error, InputError)
    assert "no record of the run runs/0123456789abcdef, which was trained with another store" in str(error)
    assert "MLFLOW_TRACKING_URI" in str(error)


def test_a_store_that_is_away_is_another_error(tmp_path: Path) -> None:
    away = session(tmp_path)

    def refuse() -> None:
        raise ConnectionError("refused")

    assert not away._connection.attempt(refuse)
    error = away.missing_error(RUN)
    assert isinstance(error, AwayError)
    assert "refused" in str(error)
