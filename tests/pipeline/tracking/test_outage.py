"""A tracking server that goes away at any call, at the start, in the middle or at the end, and comes back."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.tracking import MlflowClient
from requests import ConnectionError as RequestsConnectionError
from requests import HTTPError, Response

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.registry.packaging import fetched
from pipeline.runs.plan import UNIFORM, PlannedRun
from pipeline.runs.run import Run
from pipeline.tracking.connection import RetryPolicy, require_store
from pipeline.tracking.errors import AwayError
from pipeline.tracking.group import RunGroup
from pipeline.tracking.pending import PendingRun, PendingRuns
from pipeline.tracking.store import connect
from pipeline.tracking.tracker import Tracker
from pipeline.training.training import train
from tests.conftest import debug_config
from tests.pipeline.tracking.records import assert_recorded_once

CALLS = (
    "get_experiment_by_name create_experiment search_runs create_run log_batch set_tag update_run get_metric_history "
    "log_artifact set_terminated get_experiment get_run"
).split()


@dataclass(frozen=True)
class Trained:
    """A finished run of three epochs."""

    config: RunConfig
    prepared: Prepared
    run: Run

    def named(self, name: str) -> RunConfig:
        """The config under another name: an experiment of its own."""
        return self.config.model_copy(update={"name": name})


@pytest.fixture(scope="module")
def trained(few: tuple[RunConfig, Prepared], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    options = (f"data.prepared={few[0].data.prepared}", "train.max_steps=0", "train.epochs=3")
    config = debug_config(tmp_path_factory.mktemp("trained"), *options)
    return Trained(config, few[1], train(config, few[1]))


@pytest.fixture(autouse=True, scope="module")
def _one_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One store for all tests: making its tables takes a second."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture(autouse=True)
def _its_store(_own_folder: None, _one_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", _one_store)


@contextmanager
def breaking(at: int, *, after: bool = False, error: MlflowException | None = None) -> Iterator[list[str]]:
    """A connection that breaks at some call and stays broken, before or after the call has its effect.

    Yields:
        The names of the calls so far.
    """
    calls: list[str] = []
    real = {name: getattr(MlflowClient, name) for name in CALLS}

    def broken(name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            if len(calls) > at or (len(calls) == at and not after):
                raise error or MlflowException("nobody answers")
            result = real[name](*args, **kwargs)
            if len(calls) == at:
                raise error or MlflowException("the answer was lost")
            return result

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(MlflowClient, name, broken(name))
        yield calls


def observe(tracker: Tracker, config: RunConfig, run: Run, epochs: int = 3) -> None:
    """Call a tracker as a training does."""
    planned = PlannedRun(UNIFORM, config)
    for epoch in run.history[:epochs]:
        tracker.on_epoch(planned, epoch)
    if epochs == len(run.history):
        tracker.on_run_end(planned, run, reused=False)


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("after", [False, True], ids=["unheard", "unanswered"])
def test_whatever_call_the_connection_breaks_at_everything_is_recorded_once(
    trained: Trained, after: bool, every: int, caplog: pytest.LogCaptureFixture
) -> None:
    at_every_call = RetryPolicy(seconds=0.0, factor=0.0)  # and yet logged once
    for at in count(1 + 2 * after, every):
        config = trained.named(f"broken-{at}-{after}-{every}")
        with breaking(at, after=after) as calls:
            with Tracker.open(config, trained.prepared, retry=at_every_call) as tracker:
                observe(tracker, config, trained.run)
            if len(calls) < at:
                assert at > 12, "the connection was never broken"
                break
        assert caplog.text.count("cannot be reached") == 1
        caplog.clear()
        with Tracker.open(config, trained.prepared):
            pass  # the next command of this folder of runs, whatever it does
        assert not PendingRuns(config.runs).waiting()
        assert_recorded_once(config.name, trained.run)


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_that_was_killed_goes_on_in_the_same_record(trained: Trained, epochs: int) -> None:
    config = trained.named(f"killed-{epochs}")
    observe(Tracker.open(config, trained.prepared), config, trained.run, epochs)
    with Tracker.open(config, trained.prepared) as tracker:
        observe(tracker, config, trained.run)
    assert_recorded_once(config.name, trained.run)


def test_a_server_that_is_back_before_the_end_receives_the_run_from_the_same_command(
    trained: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    config = trained.named("back")
    with Tracker.open(config, trained.prepared) as tracker, breaking(4):
        observe(tracker, config, trained.run)
        assert [one.label for one in PendingRuns(config.runs).waiting()] == ["uniform seed 0"]
    assert_recorded_once("back", trained.run)
    logged = [record.message for record in caplog.records if record.name == "pipeline.tracking.connection"]
    assert len(logged) == 2, "one line when it goes, one when it is back"
    assert re.search(
        "cannot be reached .nobody answers.: training goes on; .*/unsent and sent when it is back", logged[0]
    )
    assert logged[1].endswith("is back")


def test_a_store_that_does_not_let_us_in_is_an_error_at_the_start_only(trained: Trained) -> None:
    config, denied = trained.named("denied"), MlflowException("no", error_code=PERMISSION_DENIED)
    with breaking(1, error=denied), pytest.raises(InputError, match=r"does not let us in .*MLFLOW_TRACKING_PASSWORD"):
        Tracker.open(config, trained.prepared)
    with breaking(5, error=denied), Tracker.open(config, trained.prepared) as tracker:
        observe(tracker, config, trained.run)
    with Tracker.open(config, trained.prepared):
        pass
    assert_recorded_once("denied", trained.run)


def spoil_result(pending: PendingRuns, run: PendingRun) -> None:
    (pending.runs / run.fingerprint / "result.json").write_text("{}")


def delete_experiment(pending: PendingRuns, run: PendingRun) -> None:
    connect().delete_experiment(connect().create_experiment(run.experiment))


def lengthen_param(pending: PendingRuns, run: PendingRun) -> None:
    pending.add(replace(run, params={**run.params, "no/such//name?": "x"}))


# As the revision before wrote it, byte for byte.
BEFORE = """{
 "experiment": "%s",
 "label": "uniform seed 0",
 "fingerprint": "%s",
 "params": {
  "tradeoff.method": "uniform",
  "data": "%s"
 },
 "tags": {
  "gradops.data": "%s"
 },
 "group": %s
}"""


@pytest.mark.parametrize(
    ("group", "text"),
    [(None, "[]"), (RunGroup("comparison", "abcd"), '[\n  "comparison",\n  "abcd"\n ]')],
    ids=["alone", "of a comparison"],
)
def test_a_pending_run_of_the_revision_before_is_sent(
    trained: Trained, group: RunGroup | None, text: str, tmp_path: Path
) -> None:
    data, name = trained.prepared.fingerprint, "before-" + (group.kind if group else "alone")
    config = trained.named("after").model_copy(update={"runs": tmp_path / "runs"})
    shutil.copytree(trained.run.folder, config.runs / trained.run.fingerprint)
    pending = PendingRuns(config.runs)
    pending.folder.mkdir()
    content = BEFORE % (name, trained.run.fingerprint, data, data, text)
    file = pending.folder / f"{name}-{trained.run.fingerprint}.json"
    file.write_text(content)
    (run,) = pending.waiting()
    assert run.group == group
    pending.add(run)
    assert file.read_text() == content, "the files have the same form today"
    with Tracker.open(config, trained.prepared):
        pass
    assert not file.exists()
    client = connect()
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    sent = found.pop("uniform seed 0")
    assert (sent.info.status, sent.data.tags["gradops.fingerprint"]) == ("FINISHED", trained.run.fingerprint)
    assert sent.data.metrics["test.auc.income"] == pytest.approx(trained.run.test["income"]["auc"])
    if group is None:
        assert not found
    else:
        assert sent.data.tags["mlflow.parentRunId"] == found["comparison"].info.run_id
        assert found["comparison"].data.tags["gradops.fingerprint"] == "abcd"


@pytest.mark.parametrize("spoil", [spoil_result, delete_experiment, lengthen_param])
def test_a_pending_run_that_cannot_be_sent_holds_up_no_other(
    trained: Trained, spoil: Callable[[PendingRuns, PendingRun], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = trained.named(f"after-{spoil.__name__}").model_copy(update={"runs": tmp_path / "runs"})
    shutil.copytree(trained.run.folder, config.runs / trained.run.fingerprint)
    shutil.copytree(trained.run.folder, config.runs / "spoilt")
    pending = PendingRuns(config.runs)
    with breaking(1), Tracker.open(config, trained.prepared) as tracker:
        observe(tracker, config, trained.run)
    (good,) = pending.waiting()
    bad = replace(good, experiment=f"spoilt-{spoil.__name__}", fingerprint="spoilt", label="a bad run")
    pending.add(bad)
    os.utime(pending.path_of(bad), (0, 0))  # the first in the row
    spoil(pending, bad)
    caplog.clear()
    with Tracker.open(config, trained.prepared):
        pass
    assert_recorded_once(config.name, trained.run)
    assert [one.label for one in pending.waiting()] == ["a bad run"]
    (logged,) = [record.message for record in caplog.records]
    assert re.search(
        r"a bad run, a run of `spoilt-.*`, is not recorded .*; mend that, or delete .*spoilt.*json", logged
    )


def test_a_pending_run_whose_folder_is_gone_does_not_wait(trained: Trained) -> None:
    pending = PendingRuns(Path("runs"))
    pending.add(PendingRun("nobody", "uniform", "gone", {}, {}))
    Path("runs/gone").mkdir()
    assert pending.waiting() == []


def test_a_wrong_request_is_no_outage(trained: Trained) -> None:
    config, wrong = trained.named("wrong"), MlflowException.invalid_parameter_value("no such thing")
    with breaking(5, error=wrong), pytest.raises(MlflowException), Tracker.open(config, trained.prepared) as tracker:
        observe(tracker, config, trained.run)


def test_a_store_that_refuses_a_command_is_wrong_input() -> None:
    with pytest.raises(InputError, match="does not let us in"), require_store("try later"):
        raise MlflowException("no", error_code=PERMISSION_DENIED)


def answered(status: int) -> HTTPError:
    """The error that an artifact server's answer becomes."""
    response = Response()
    response.status_code = status
    return HTTPError(f"{status} Server Error", response=response)


@pytest.mark.parametrize(
    ("error", "is_outage"),
    [
        (answered(503), True),
        (answered(404), False),
        (RequestsConnectionError("refused"), True),
        (MlflowException("nobody answers"), True),
        (MlflowException.invalid_parameter_value("no such thing"), False),
        (MlflowException("no", error_code=PERMISSION_DENIED), False),
        (FileNotFoundError("gone"), False),
    ],
    ids=str,
)
def test_a_model_that_cannot_be_fetched_is_wrong_input_only_where_the_server_answers(
    error: Exception, is_outage: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_: Any) -> None:
        raise error

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", fails)
    monkeypatch.setattr(mlflow.artifacts, "list_artifacts", lambda **_: ["a file"])
    expected = AwayError if is_outage else InputError
    with pytest.raises(expected), require_store("try later"), fetched("models:/debug@champion"):
        pass


def test_an_upload_that_breaks_is_an_outage(trained: Trained) -> None:
    config = trained.named("upload")
    with pytest.raises(AwayError, match="nothing can be registered"), Tracker.open(config, trained.prepared):
        raise answered(502)
