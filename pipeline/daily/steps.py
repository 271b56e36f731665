"""The steps of a day: checked, prepared, trained, judged.

Each step leads from one state to the next, or ends the day with its record. A state holds the results of the steps up
to it. Every step finds its own earlier result, so that after a killed job the next one continues.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial

from pipeline.config.run import RunConfig
from pipeline.daily.accuracy import Beside, accuracies
from pipeline.daily.checks import day_checks, model_checks
from pipeline.daily.history import History
from pipeline.daily.record import DayRecord, Status
from pipeline.data.counts import OneClassError
from pipeline.data.drift import Summary, summary
from pipeline.data.prepare import Preparation
from pipeline.data.prepared import Prepared
from pipeline.registry.card import write_day_card
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
    """A day that keeps to the contract, as do the days before it.

    Args:
        record: The day's record up to now.
        preparation: The raw files on their way to prepared data.
        findings: Findings on the files; None if they are prepared already, and were checked then.
    """

    record: DayRecord
    preparation: Preparation
    findings: Findings | None


@dataclass(frozen=True)
class PreparedDay:
    """A day in prepared data: it will test a model that the other days train and validate.

    Args:
        record: The day's record up to now.
        config: The config of the day's run.
        prepared: The run's data.
    """

    record: DayRecord
    config: RunConfig
    prepared: Prepared


@dataclass(frozen=True)
class TrainedDay:
    """A day and the trained model that it will judge.

    Args:
        record: The day's record up to now.
        config: The config of the day's run, with the run that it started from.
        prepared: The run's data.
        run: The trained run.
        drift: The day, compared with the training days.
        aucs: The run's AUC of each task on the day, and those that it is compared with.
    """

    record: DayRecord
    config: RunConfig
    prepared: Prepared
    run: Run
    drift: Summary
    aucs: tuple[Beside, ...]


@dataclass(frozen=True)
class JudgedDay:
    """A day whose model is promoted or refused.

    Args:
        trained: The day and its model.
        checks: Checks of the day's own data.
        decision: The gate's decision, by these checks and its own.
    """

    trained: TrainedDay
    checks: list[Check]
    decision: Decision

    @property
    def status(self) -> Status:
        """The outcome. If the day's own data fails a check, the day is suspect, and its model is refused, too."""
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
            auc_error={one.task: one.day.error for one in self.trained.aucs},
            version=decision.candidate,
            champion=decision.candidate if decision.passed else decision.champion,
            checks=[asdict(check) for check in decision.checks],
        )


def check_day(record: DayRecord, config: RunConfig) -> CheckedDay | DayRecord:
    """Check a day and the days before it by the contract; a day that breaks it is rejected.

    Args:
        record: The day's record.
        config: The config of the day's run.

    Raises:
        InputError: If the earlier days alone break the contract.
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

    If the days before it lack a class, too, it is too early to judge, and the day is only admitted.

    Raises:
        InputError: If features leak a label, or a file is damaged in a place that no check reads.
    """
    try:
        prepared = day.preparation.prepared(day.findings)
    except OneClassError as error:
        status = "suspect" if error.splits == {"test"} else "admitted"
        return day.record.changed(status=status, reasons=[str(error)])
    return PreparedDay(day.record, day.preparation.config, prepared)


def train_day(
    day: PreparedDay, earlier: DayRecord | None, history: History, tracker: Tracker, show: ShowTraining
) -> TrainedDay:
    """Train the day's model, starting from the champion's weights if possible, and measure the day's drift.

    The run that it starts from is recorded before the training: after a killed job the next one starts from the same.

    Args:
        day: The day.
        earlier: The day's record from an earlier job, if there is one.
        history: The records of all days.
        tracker: Records the run.
        show: Shows the progress of the training.
    """
    if earlier is not None and earlier.data == day.prepared.fingerprint:
        last: str | None = earlier.start_from
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
    positives = {task: (now.share, before.share) for task, (now, before) in drift.positives.items()}
    kept = partial(history.kept, day=day.record.day, window=config.daily.window)
    aucs = tuple(Beside(task, now, before, kept(task)) for task, now, before in accuracies(day.prepared, run))
    return TrainedDay(begun.changed(drift=shown, positives=positives), config, day.prepared, run, drift, aucs)


def judge_day(day: TrainedDay, tracker: Tracker) -> JudgedDay:
    """Register the model, judge it and the day's data by the gate, and let it serve if every check passes."""
    version = register_run(day.config, day.prepared, day.run, tracker)
    checks = day_checks(day.config, day.prepared, day.drift, day.aucs)
    every = [*model_checks(day.run, day.aucs), *checks]
    decision = promote(day.config, day.prepared, version, every)
    write_day_card(decision, day.record.day, day.record.start_from)
    return JudgedDay(day, checks, decision)
