"""The steps of a day: checked, prepared, trained, judged.

Each step leads from one state to the next, or ends the day with its record. A state holds what the steps up to it have
found. Every step finds its own result again, so a killed job's next one goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass

from pipeline.config.run import RunConfig
from pipeline.daily.checks import day_checks
from pipeline.daily.drift import Summary, summary
from pipeline.daily.history import History
from pipeline.daily.record import DayRecord, Status
from pipeline.data.prepare import OneClassError, Preparation
from pipeline.data.prepared import Prepared
from pipeline.registry.gate import Check, Decision
from pipeline.registry.model import champion_run
from pipeline.registry.promotion import promote
from pipeline.registry.register import register_run
from pipeline.runs.plan import Callback, PlannedRun, System
from pipeline.runs.run import Run
from pipeline.tracking.tracker import Tracker
from pipeline.training.runner import find_or_train
from pipeline.training.warm_start import can_start
from pipeline.validation.findings import Findings

_DRIFTS = 10  # in a record

ShowTraining = Callable[[PlannedRun], AbstractContextManager[Callback]]


@dataclass(frozen=True)
class CheckedDay:
    """A day whose rows, and those of the days before it, keep to the contract.

    Args:
        record: The day's record up to now.
        preparation: The raw files on their way to prepared data.
        findings: Those of the files; None where they are prepared already, and were checked then.
    """

    record: DayRecord
    preparation: Preparation
    findings: Findings | None


@dataclass(frozen=True)
class PreparedDay:
    """A day that tests a model, in prepared data whose other days train and validate it.

    Args:
        record: The day's record up to now.
        config: The day's run.
        prepared: Its data.
    """

    record: DayRecord
    config: RunConfig
    prepared: Prepared


@dataclass(frozen=True)
class TrainedDay:
    """A day and the model that it is to judge.

    Args:
        record: The day's record up to now.
        config: The day's run, with the run that it started from.
        prepared: Its data.
        run: Its outcome.
        drift: The day against the training days.
    """

    record: DayRecord
    config: RunConfig
    prepared: Prepared
    run: Run
    drift: Summary


@dataclass(frozen=True)
class JudgedDay:
    """A day whose model is promoted or refused.

    Args:
        trained: The day and its model.
        checks: Checks of the day's own data.
        decision: The gate's, over these and its own checks.
    """

    trained: TrainedDay
    checks: list[Check]
    decision: Decision

    @property
    def status(self) -> Status:
        """The outcome: a day whose data fails a check is suspect, and its model refused with it."""
        if self.decision.passed:
            return "promoted"
        return "refused" if all(check.passed for check in self.checks) else "suspect"

    @property
    def record(self) -> DayRecord:
        """The day's record."""
        run, decision = self.trained.run, self.decision
        return self.trained.record.changed(
            status=self.status,
            reasons=[f"{check.name}: {check.found}; {check.rule}" for check in decision.checks if not check.passed],
            run=run.fingerprint,
            auc={task: metrics["auc"] for task, metrics in run.test.items()},
            version=decision.candidate,
            champion=decision.candidate if decision.passed else decision.champion,
            checks=[asdict(check) for check in decision.checks],
        )


def check_day(record: DayRecord, config: RunConfig) -> CheckedDay | DayRecord:
    """Hold a day and the days before it against the contract; a day that breaks it is rejected.

    Args:
        record: The day's.
        config: The day's run.

    Raises:
        InputError: If the days before it break the contract by themselves.
    """
    preparation = Preparation.of(config)
    findings = preparation.examine(newest=record.day) if preparation.find() is None else None
    if findings is not None:
        if findings.is_newest_at_fault:
            return record.changed(status="rejected", reasons=[findings.message])
        findings.check()
    return CheckedDay(record, preparation, findings)


def prepare_day(day: CheckedDay) -> PreparedDay | DayRecord:
    """Prepare the data; a day without both classes of a task is suspect.

    Where the days before it lack a class, too, it is too early to judge, and the day is only admitted.

    Raises:
        InputError: If features know a label, or a file is damaged where no check reads it.
    """
    try:
        prepared = day.preparation.prepared(day.findings)
    except OneClassError as error:
        status = "suspect" if error.splits == {"test"} else "admitted"
        return day.record.changed(status=status, reasons=[str(error)])
    return PreparedDay(day.record, day.preparation.config, prepared)


def train_day(
    day: PreparedDay, before: DayRecord | None, history: History, tracker: Tracker, show: ShowTraining
) -> TrainedDay:
    """Train the day's model on top of the last one that was promoted, and measure the day's drift.

    The run that it starts from is recorded before it trains: a killed job's next one starts from the same.

    Args:
        day: The day.
        before: Its record from an earlier job, if there is one.
        history: The records of all days.
        tracker: Records the run.
        show: Shows the training.
    """
    if before is not None and before.data == day.prepared.fingerprint:
        last: str | None = before.start_from
    else:
        last = champion_run(tracker.client, day.config.name)
    is_warm = day.config.daily.warm_start and last and can_start(day.config, day.prepared, last)
    start_from = last if is_warm else ""
    begun = day.record.changed(start_from=start_from, data=day.prepared.fingerprint, rows=day.prepared.rows)
    history.save(begun)
    config, drift = day.config.changed({"train.start_from": start_from}), summary(day.prepared)
    shown = [asdict(one) for one in drift.drifts[:_DRIFTS]]
    planned = PlannedRun(System(config.train.method), config)
    with show(planned) as progress:
        (run,) = find_or_train([planned], day.prepared, [progress, tracker], workers=1)
    return TrainedDay(begun.changed(drift=shown, positives=drift.positives), config, day.prepared, run, drift)


def judge_day(day: TrainedDay, tracker: Tracker) -> JudgedDay:
    """Register the model, hold it and the day's data against the gate, and let it serve if every check holds."""
    version = register_run(day.config, day.prepared, day.run, tracker)
    checks = day_checks(day.config, day.prepared, day.run, day.drift)
    return JudgedDay(day, checks, promote(day.config, day.prepared, version, checks))
