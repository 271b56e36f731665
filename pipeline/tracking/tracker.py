"""The tracker: records each training run in MLflow once, now or, if the server is away, later."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType

from mlflow.entities import RunStatus
from mlflow.tracking import MlflowClient

from pipeline.comparison.comparison import Comparison
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.plan import PlannedRun
from pipeline.runs.run import Epoch, Run, run_folder
from pipeline.runtime.signals import uninterrupted
from pipeline.tracking.connection import STORE_ERRORS, RetryPolicy, StoreConnection, error_text, is_away
from pipeline.tracking.group import RunGroup
from pipeline.tracking.names import run_params
from pipeline.tracking.pending import PendingRun, PendingRuns
from pipeline.tracking.recorder import Recorder, Recording
from pipeline.tracking.session import StoreSession
from pipeline.tracking.store import redacted_store_uri
from pipeline.tracking.tags import COMPARED, COMPARED_AT, DATA, PARENT, PARETO, STATE, TRIAL, VERDICTS


class Tracker:
    """Records training runs, and the comparison, study or day that they belong to as their parent run.

    A :class:`pipeline.runs.plan.Callback`, opened by :meth:`open`; leaving its ``with`` block ends open MLflow runs.

    A recorded run is found by its fingerprint and not recorded again; a run that was trained but never recorded is
    recorded from its history. While the store is away, training goes on and finished runs wait in the
    :class:`pipeline.tracking.pending.PendingRuns` of their folder: the first tracker that reaches the store sends them.

    Args:
        session: The work with the store.
        prepared: The data that runs are trained on.
    """

    def __init__(self, session: StoreSession, prepared: Prepared) -> None:
        self._session, self._prepared = session, prepared
        self._open: dict[str, Recording] = {}
        self._closed: dict[str, str] = {}

    @classmethod
    def open(
        cls, config: RunConfig, prepared: Prepared, group: RunGroup | None = None, *, retry: RetryPolicy = RetryPolicy()
    ) -> Tracker:
        """A tracker that has tried once to reach the store and to send the pending runs.

        Args:
            config: The config of the runs; its name is the experiment's.
            prepared: The data that the runs are trained on.
            group: The comparison, study or day that they belong to; None for runs on their own.
            retry: The pause after a failed try to reach the store.

        Raises:
            InputError: If the store refuses access.
        """
        pending = PendingRuns(config.runs)
        connection = StoreConnection(redacted_store_uri(), str(pending.folder), retry)
        session = StoreSession(config.name, prepared.fingerprint, group, pending, connection)
        session.send(lambda _: None)
        return cls(session, prepared)

    def __enter__(self) -> Tracker:
        return self

    @uninterrupted()
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = RunStatus.to_string(RunStatus.FAILED if kind else RunStatus.FINISHED)

        def close(recorder: Recorder) -> None:
            for run_id in filter(None, (*(one.run_id for one in self._open.values()), self._session.own_parent)):
                recorder.client.set_terminated(run_id, status)

        # If the block failed, its own error matters more; the next comparison closes MLflow runs that stay open.
        with suppress(*STORE_ERRORS) if kind else nullcontext():
            self._session.send(close, now=kind is None)
        if error is not None and is_away(error):
            raise self._session.away_error(error_text(error)) from None

    @property
    def client(self) -> MlflowClient:
        """A client of the store.

        Raises:
            AwayError: If the store is away, or some trained runs are not recorded yet.
        """
        return self._session.require().client

    @uninterrupted()
    def on_epoch(self, planned: PlannedRun, epoch: Epoch) -> None:
        """Record an epoch's losses, validation metrics and sampled step reports."""
        recording = self._open.get(planned.label)
        if recording is None:
            fingerprint = run_folder(planned.config, self._prepared).name
            recording = self._open[planned.label] = Recording(self._metadata(planned, fingerprint))
        recording.epochs.append(epoch)
        self._session.send(lambda recorder: recorder.send(recording, self._session.parent))

    @uninterrupted()
    def on_run_end(self, planned: PlannedRun, run: Run, reused: bool) -> None:
        """Record a run's result and end its MLflow run; if the store is away, keep the run as a pending one."""
        del reused  # even a run that an earlier command trained may not be recorded yet
        metadata = self._metadata(planned, run.fingerprint)
        recording = self._open.pop(planned.label, None) or Recording(metadata)

        def finish(recorder: Recorder) -> None:
            known = None if recording.run_id else recorder.recorded(run.fingerprint)
            self._closed[run.fingerprint] = known or recorder.finish(recording, run, self._session.parent)

        if not self._session.send(finish):
            self._session.pending.add(metadata)

    @uninterrupted()
    def compared(self, comparison: Comparison, verdicts: Sequence[str] = ()) -> None:
        """Record the comparison's files, and once its metrics in the parent run and in each method's runs.

        Δm% is a drop against the single-task runs named in the tag ``gradops.baseline_run_ids``.

        Args:
            comparison: The saved comparison.
            verdicts: Sentences for readers, kept in the tag ``gradops.verdicts`` of the parent run.

        Raises:
            AwayError: If the store is away.
        """
        recorder, parent = self._session.require(), self._session.parent
        assert parent is not None, "a tracker of single runs has no comparison to record"
        for file in (comparison.path, comparison.path.with_suffix(".md")):
            recorder.client.log_artifact(parent, str(file))
        self.judged(verdicts)
        tags = recorder.client.get_run(parent).data.tags
        if not {COMPARED, COMPARED_AT} <= tags.keys():  # without the second one, an older version recorded it
            run_ids = {run.fingerprint: self.run_id(run) for runs in comparison.systems.values() for run in runs}
            recorder.compare(comparison, parent, run_ids)
            recorder.client.set_tag(parent, COMPARED, ",".join(run_ids.values()))

    @uninterrupted()
    def judged(self, verdicts: Sequence[str]) -> None:
        """Keep sentences for readers of the parent run in its tag ``gradops.verdicts``.

        Raises:
            AwayError: If the store is away.
        """
        client = self.client
        assert self._session.parent is not None, "a tracker of single runs has no verdicts"
        client.set_tag(self._session.parent, VERDICTS, "\n".join(verdicts) or "none")

    @uninterrupted()
    def model_logged(self, run: Run, model: str) -> None:
        """Record a run's result as the metrics of a model that was logged from it.

        Raises:
            AwayError: If the store is away.
        """
        self._session.require().describe_model(run, self.run_id(run), model)

    @uninterrupted()
    def attach(self, path: Path) -> None:
        """Log a file to the parent run.

        Raises:
            AwayError: If the store is away.
        """
        client = self.client
        assert self._session.parent is not None, "a tracker of single runs has no place for a file"
        client.log_artifact(self._session.parent, str(path))

    def run_id(self, run: Run) -> str:
        """The MLflow run that recorded a run, here or in another process of the study.

        Raises:
            AwayError: If the store is away.
            InputError: If the run was recorded in another store.
        """
        for run_id in self.run_ids([run.fingerprint]):
            return run_id
        raise self._session.missing_error(run)

    def run_ids(self, fingerprints: Sequence[str]) -> list[str]:
        """The MLflow runs of those of some runs that are recorded."""

        def look(recorder: Recorder) -> None:
            for fingerprint in fingerprints:
                if fingerprint not in self._closed and (found := recorder.recorded(fingerprint)):
                    self._closed[fingerprint] = found

        if any(fingerprint not in self._closed for fingerprint in fingerprints):
            self._session.send(look)
        return [self._closed[fingerprint] for fingerprint in fingerprints if fingerprint in self._closed]

    @uninterrupted()
    def give_up(self, state: str) -> list[str]:
        """End the open MLflow runs, whose training will not be finished, and return them.

        Args:
            state: The reason, kept in the tag ``gradops.state``.
        """
        run_ids = [recording.run_id for recording in self._open.values() if recording.run_id]

        def close(recorder: Recorder) -> None:
            for run_id in run_ids:
                recorder.client.set_tag(run_id, STATE, state)
                recorder.client.set_terminated(run_id)

        self._session.send(close)
        self._open.clear()
        return run_ids

    @uninterrupted()
    def close_lost(self, running: Callable[[], Collection[int]]) -> None:
        """End the MLflow runs that a killed process left running.

        Args:
            running: Returns the numbers of the study's trials that a worker is running; called after the query for
                open MLflow runs.
        """
        self._session.send(lambda recorder: self._session.close_lost(recorder, running))

    @uninterrupted()
    def studied(self, path: Path, front: Collection[str]) -> None:
        """Log a study's file to the parent run, tag the Pareto-optimal runs, and end the parent run.

        Args:
            path: The file.
            front: The MLflow runs of the Pareto-optimal points.

        Raises:
            AwayError: If the store is away.
        """
        recorder, parent = self._session.require(), self._session.parent
        assert parent is not None, "a tracker of single runs has no study to record"
        self.attach(path)
        before = f"tags.`{PARENT}` = '{parent}' and tags.`{PARETO}` = 'true'"
        tagged = {run.info.run_id for run in recorder.client.search_runs([recorder.experiment], before)}
        for run_id in tagged.symmetric_difference(front):
            recorder.client.set_tag(run_id, PARETO, str(run_id in front).lower())
        self.end_study("FINISHED")

    @uninterrupted()
    def end_study(self, status: str) -> None:
        """End the parent run of a study, which its trackers leave open for each other."""
        self._session.send(lambda recorder: recorder.client.set_terminated(self._session.parent or "", status))

    def _metadata(self, planned: PlannedRun, fingerprint: str) -> PendingRun:
        session = self._session
        tags = {DATA: session.data} | ({TRIAL: str(planned.trial)} if planned.trial is not None else {})
        params = run_params(planned, session.data)
        return PendingRun(session.experiment, planned.label, fingerprint, params, tags, session.group)
