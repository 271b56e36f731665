"""Runs in MLflow, whether its server is there or not: what is trained is recorded now or later, once."""

from __future__ import annotations

import logging
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
from pipeline.tracking.connection import STORE_ERRORS, Line, is_away, said
from pipeline.tracking.database import check_database
from pipeline.tracking.errors import AwayError
from pipeline.tracking.names import params_of
from pipeline.tracking.pending import Entry, Outbox
from pipeline.tracking.recorder import DATA, PARENT, Recorder, Recording
from pipeline.tracking.store import connect as connect
from pipeline.tracking.store import shown_store
from pipeline.tracking.store import store_uri as store_uri

TRIAL, PARETO = "gradops.trial", "gradops.pareto"
_COMPARED = "gradops.run_ids"

_log = logging.getLogger(__name__)


class Tracker:
    """Records a comparison or a study: one parent run, one child per training run.

    A :class:`pipeline.runs.plan.Callback`.

    A run already recorded, in this comparison or an earlier one, is found by its fingerprint and not recorded again;
    one that was trained but never recorded is recorded from its history. While the store is away runs go on, and
    finished ones wait in the :class:`pipeline.tracking.pending.Outbox` of their folder: whichever tracker first reaches
    the store sends them.

    Args:
        config: What is trained; its name is the experiment's.
        prepared: On what.
        comparison: Fingerprint of the comparison whose parent run the runs belong to; None for a run on its own.
        study: The same of a study, in place of a comparison. Other processes may be recording runs of it, too.
        day: Name and fingerprint of a day of the scheduled job, in place of both.

    Raises:
        InputError: If the store does not let us in.
    """

    def __init__(
        self,
        config: RunConfig,
        prepared: Prepared,
        comparison: str | None = None,
        *,
        study: str | None = None,
        day: tuple[str, str] = ("day", ""),
    ) -> None:
        self._name, self._prepared = config.name, prepared
        self._is_shared = study is not None
        groups = (("comparison", comparison or ""), ("study", study or ""), day)
        self._group = next((group for group in groups if group[1]), ())
        self._outbox = Outbox(config.runs)
        self._line = Line(shown_store(), str(self._outbox.folder))
        self._recorder: Recorder | None = None
        self._parent: str | None = None
        self._open: dict[str, Recording] = {}
        self._closed: dict[str, str] = {}
        self._send(lambda _: None)

    def __enter__(self) -> Tracker:
        return self

    @uninterrupted()
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = RunStatus.to_string(RunStatus.FAILED if kind else RunStatus.FINISHED)

        def close(recorder: Recorder) -> None:
            parent = None if self._is_shared else self._parent
            for run_id in filter(None, (*(one.run_id for one in self._open.values()), parent)):
                recorder.client.set_terminated(run_id, status)

        # Where the block failed, its own error is the one to see; the next comparison closes what stays open.
        with suppress(*STORE_ERRORS) if kind else nullcontext():
            self._send(close, now=kind is None)
        if error is not None and is_away(error):
            raise self._away(said(error)) from None

    @property
    def client(self) -> MlflowClient:
        """A client of the store.

        Raises:
            AwayError: If the store is away, or has not been told of everything that is trained.
        """
        # Asked here, because what follows waits for minutes where nobody answers.
        if not self._send(Recorder.ask, now=True):
            raise self._away(self._line.reason)
        return self._begun().client

    @uninterrupted()
    def on_epoch(self, planned: PlannedRun, epoch: Epoch) -> None:
        """Log an epoch's losses, validation metrics and sampled step reports."""
        recording = self._open.get(planned.label)
        if recording is None:
            fingerprint = run_folder(planned.config, self._prepared).name
            recording = self._open[planned.label] = Recording(self._entry(planned, fingerprint))
        recording.epochs.append(epoch)
        self._send(lambda recorder: recorder.send(recording, self._parent))

    @uninterrupted()
    def on_run_end(self, planned: PlannedRun, run: Run, reused: bool) -> None:
        """Log a run's result and close it."""
        del reused  # a run that was trained in an earlier command may still not be recorded
        entry = self._entry(planned, run.fingerprint)
        recording = self._open.pop(planned.label, None) or Recording(entry)

        def finish(recorder: Recorder) -> None:
            known = None if recording.run_id else recorder.recorded(run.fingerprint)
            self._closed[run.fingerprint] = known or recorder.finish(recording, run, self._parent)

        if not self._send(finish):
            self._outbox.keep(entry)

    @uninterrupted()
    def compared(self, comparison: Comparison) -> None:
        """Log the comparison's figures to the parent, and Δm and Mean Rank of each method to its runs; once.

        Δm is a drop against the single-task runs named in the tag ``gradops.baseline_run_ids``.

        Raises:
            AwayError: If the store is away.
        """
        client, recorder, parent = self.client, self._begun(), self._parent
        assert parent is not None, "a tracker of single runs has no comparison to log"
        if _COMPARED not in client.get_run(parent).data.tags:
            run_ids = {run.fingerprint: self.run_id(run) for runs in comparison.systems.values() for run in runs}
            recorder.compare(comparison, parent, run_ids)
            client.set_tag(parent, _COMPARED, ",".join(run_ids.values()))

    @uninterrupted()
    def attach(self, path: Path) -> None:
        """Log a file to the parent.

        Raises:
            AwayError: If the store is away.
        """
        client = self.client
        assert self._parent is not None, "a tracker of single runs has no place for a file"
        client.log_artifact(self._parent, str(path))

    def run_id(self, run: Run) -> str:
        """The MLflow run that recorded a run, here or in another process of the study.

        Raises:
            AwayError: If the store is away.
        """
        for run_id in self.run_ids([run.fingerprint]):
            return run_id
        raise self._away(self._line.reason or "another command is telling it of the runs at this moment")

    def run_ids(self, fingerprints: Sequence[str]) -> list[str]:
        """The MLflow runs of runs, without those that are not recorded yet."""

        def look(recorder: Recorder) -> None:
            for fingerprint in fingerprints:
                if fingerprint not in self._closed and (found := recorder.recorded(fingerprint)):
                    self._closed[fingerprint] = found

        if any(fingerprint not in self._closed for fingerprint in fingerprints):
            self._send(look)
        return [self._closed[fingerprint] for fingerprint in fingerprints if fingerprint in self._closed]

    @uninterrupted()
    def give_up(self, state: str) -> list[str]:
        """Close what is open and will not be finished; the MLflow runs that it was."""
        run_ids = [recording.run_id for recording in self._open.values() if recording.run_id]

        def close(recorder: Recorder) -> None:
            for run_id in run_ids:
                recorder.client.set_tag(run_id, "gradops.state", state)
                recorder.client.set_terminated(run_id)

        self._send(close)
        self._open.clear()
        return run_ids

    @uninterrupted()
    def close_lost(self, running: Callable[[], Collection[int]]) -> None:
        """Close what a killed process left running.

        Args:
            running: The trials of the study that somebody works on. It is called after MLflow was asked: a run that
                was open then is of one of them, if its worker is alive.
        """
        self._send(lambda recorder: self._close_lost(recorder, running))

    @uninterrupted()
    def studied(self, path: Path, front: Collection[str]) -> None:
        """Log a study's file to the parent, tag the runs on the front, and end the study.

        Args:
            path: The file.
            front: The MLflow runs on the front.

        Raises:
            AwayError: If the store is away.
        """
        client, recorder = self.client, self._begun()
        assert self._parent is not None, "a tracker of single runs has no study to log"
        self.attach(path)
        before = f"tags.`{PARENT}` = '{self._parent}' and tags.`{PARETO}` = 'true'"
        tagged = {run.info.run_id for run in client.search_runs([recorder.experiment], before)}
        for run_id in tagged.symmetric_difference(front):
            client.set_tag(run_id, PARETO, str(run_id in front).lower())
        self.end_study("FINISHED")

    @uninterrupted()
    def end_study(self, status: str) -> None:
        """End the parent run of a study, which its trackers leave open for each other."""
        self._send(lambda recorder: recorder.client.set_terminated(self._parent or "", status))

    def _send(self, send: Callable[[Recorder], object], *, now: bool = False) -> bool:
        """Send something if the store is there, after what waits; whether it was sent."""
        if (self._recorder is None or self._line.is_away) and not self._deliver(now):
            return False
        return self._line.attempt(lambda: send(self._begun()), now=now)

    def _begun(self) -> Recorder:
        """The recorder, once the store has answered and what the runs belong to is there."""
        if self._recorder is None:
            check_database(store_uri())
            recorder = Recorder(connect(), self._name)
            if self._group:
                self._parent = recorder.parent(self._group, self._prepared.fingerprint)
                if not self._is_shared:
                    self._close_lost(recorder, set)
                recorder.client.update_run(self._parent, RunStatus.to_string(RunStatus.RUNNING))
            self._recorder = recorder
        return self._recorder

    def _deliver(self, now: bool) -> bool:
        """Send the finished runs that wait, of this command or another; whether the store was there all the while.

        One that the store does not take is left for a person: it keeps no other run, and no command, waiting.
        """
        if not self._line.attempt(lambda: self._begun().ask(), now=now):
            return False
        with self._outbox.alone() as waiting:
            for entry in waiting:
                if not self._line.attempt(lambda: self._deliver_one(entry)):  # noqa: B023
                    return False
        return True

    def _deliver_one(self, entry: Entry) -> None:
        recorder = self._begun()
        try:
            recorder.deliver(entry, self._outbox.runs)
        # A run's result may be damaged, too: a value that is none, or one that is missing or too many.
        except (*STORE_ERRORS, ValueError, TypeError, KeyError) as error:
            if is_away(error):
                raise
            recorder.ask()
            _log.warning(
                "%s, a run of `%s`, is not recorded (%s); mend that, or delete %s to do without its record",
                entry.label,
                entry.experiment,
                said(error),
                self._outbox.path(entry),
            )
        else:
            self._outbox.sent(entry)

    def _entry(self, planned: PlannedRun, fingerprint: str) -> Entry:
        data = self._prepared.fingerprint
        tags = {DATA: data} | ({TRIAL: str(planned.trial)} if planned.trial is not None else {})
        return Entry(self._name, planned.label, fingerprint, params_of(planned, data), tags, self._group)

    def _close_lost(self, recorder: Recorder, running: Callable[[], Collection[int]]) -> None:
        query = f"tags.`{PARENT}` = '{self._parent}' and attributes.status = 'RUNNING'"
        found = recorder.client.search_runs([recorder.experiment], query)
        trials = {str(trial) for trial in running()}
        for run in found:
            if run.data.tags.get(TRIAL) not in trials:
                recorder.client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))

    def _away(self, reason: str) -> AwayError:
        fix = "once it is back the same command does the rest; `gradops doctor` says what waits"
        return AwayError(
            f"{shown_store()} cannot be reached ({reason}), and nothing can be registered without it. "
            f"What is trained is kept in {self._outbox.runs}: {fix}"
        )
