"""A command's work with one experiment of a store that may be away; pending runs of earlier commands are sent first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from mlflow.entities import RunStatus

from features.errors import InputError
from pipeline.runs.run import Run
from pipeline.tracking.connection import STORE_ERRORS, StoreConnection, error_text, is_away
from pipeline.tracking.database import check_database
from pipeline.tracking.errors import AwayError
from pipeline.tracking.group import RunGroup
from pipeline.tracking.pending import PendingRun, PendingRuns
from pipeline.tracking.recorder import Recorder
from pipeline.tracking.store import connect, redacted_store_uri, store_uri
from pipeline.tracking.tags import PARENT, TRIAL

_log = logging.getLogger(__name__)


class StoreSession:
    """Gives callers a recorder while the store can be reached, and sends pending runs as soon as it is back.

    Args:
        experiment: The experiment's name.
        data: Fingerprint of the prepared data.
        group: The comparison, study or day of the runs; None for runs on their own.
        pending: The pending runs, of this command and of earlier ones.
        connection: The connection to the store.
    """

    def __init__(
        self, experiment: str, data: str, group: RunGroup | None, pending: PendingRuns, connection: StoreConnection
    ) -> None:
        self.experiment, self.data, self.group = experiment, data, group
        self.pending = pending
        self.parent: str | None = None
        self._connection = connection
        self._recorder: Recorder | None = None

    @property
    def own_parent(self) -> str | None:
        """The parent run, if this is the only process that records runs below it."""
        return None if self.group is not None and self.group.is_shared else self.parent

    def send(self, send: Callable[[Recorder], object], *, now: bool = False) -> bool:
        """Call a function that writes to the store, after sending pending runs, and return whether it succeeded.

        Args:
            send: The function. It may fail at any of its calls of the store; the caller tries it again later.
            now: Try even if the last try failed a moment ago.

        Raises:
            InputError: If the store refuses access at the first try.
        """
        if (self._recorder is None or self._connection.is_away) and not self._deliver(now):
            return False
        return self._connection.attempt(lambda: send(self._connected()), now=now)

    def require(self) -> Recorder:
        """The recorder, once the store has answered and every pending run is sent.

        Raises:
            AwayError: If the store is away.
        """
        # The ping has short timeouts; the calls that follow would wait for minutes if no server answers.
        if not self.send(Recorder.ping, now=True):
            raise self.away_error()
        return self._connected()

    def away_error(self, reason: str = "") -> AwayError:
        """The error of a command that cannot be finished without the store.

        Args:
            reason: The store's error; by default the error of the last failed try.
        """
        reason = reason or self._connection.reason or "another command is sending it the runs at this moment"
        return AwayError(
            f"{redacted_store_uri()} cannot be reached ({reason}), and nothing can be registered without it. "
            f"Trained runs are kept in {self.pending.runs}: once it is back the same command does the rest; "
            "`gradops doctor` lists pending runs"
        )

    def missing_error(self, run: Run) -> AwayError | InputError:
        """The error that a run which has to be recorded by now is not."""
        is_pending = any(one.fingerprint == run.fingerprint for one in self.pending.waiting())
        if self._connection.is_away or is_pending:
            return self.away_error()
        return InputError(
            f"{redacted_store_uri()} has no record of the run {run.folder}, which was trained with another store; set "
            "MLFLOW_TRACKING_URI as it was then, or give `runs` another folder and train again"
        )

    def close_lost(self, recorder: Recorder, running: Callable[[], Collection[int]]) -> None:
        """End the group's MLflow runs that a killed process left running.

        Args:
            recorder: The experiment's recorder.
            running: Returns the numbers of the trials that a worker is running. It is called after the query for open
                MLflow runs: every open run of a living worker then belongs to one of these trials.
        """
        query = f"tags.`{PARENT}` = '{self.parent}' and attributes.status = 'RUNNING'"
        found = recorder.client.search_runs([recorder.experiment], query)
        trials = {str(trial) for trial in running()}
        for run in found:
            if run.data.tags.get(TRIAL) not in trials:
                recorder.client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))

    def _connected(self) -> Recorder:
        """The recorder; the first call finds or makes the experiment and the parent run."""
        if self._recorder is None:
            check_database(store_uri())
            recorder = Recorder(connect(), self.experiment)
            if self.group is not None:
                self.parent = recorder.parent(self.group, self.data)
                if not self.group.is_shared:
                    self.close_lost(recorder, set)
                recorder.client.update_run(self.parent, RunStatus.to_string(RunStatus.RUNNING))
            self._recorder = recorder
        return self._recorder

    def _deliver(self, now: bool) -> bool:
        """Send the pending runs, of any command, and return whether the store stayed reachable.

        A run that the store rejects is left for a person to mend; other runs and the command go on.
        """
        if not self._connection.attempt(lambda: self._connected().ping(), now=now):
            return False
        with self.pending.exclusively() as waiting:
            for run in waiting:
                if not self._connection.attempt(lambda: self._deliver_one(run)):  # noqa: B023  # called at once
                    return False
        return True

    def _deliver_one(self, run: PendingRun) -> None:
        recorder = self._connected()
        try:
            recorder.deliver(run, self.pending.runs)
        # Errors also come from a damaged result file, with values of the wrong type, missing or too many.
        except (*STORE_ERRORS, ValueError, TypeError, KeyError) as error:
            if is_away(error):
                raise
            recorder.ping()
            _log.warning(
                "%s, a run of `%s`, is not recorded (%s); mend that, or delete %s to do without its record",
                run.label,
                run.experiment,
                error_text(error),
                self.pending.path_of(run),
            )
        else:
            self.pending.remove(run)
