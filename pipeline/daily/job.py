"""The scheduled job: a new day is checked, prepared, trained on top of the days before it, judged, and perhaps served.

Of the days up to the new one all but two train, the last but one validates, and the new one tests: nothing was fitted
or chosen on the rows that decide. A day that breaks the contract is rejected, one whose data fails a check is suspect;
later days leave both out, and say so, until the job has run on them again and found them mended. Whatever is killed
goes on where it was, and what is done is not done again: every step finds its own result by a fingerprint.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import date, timedelta

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.daily.checks import day_checks
from pipeline.daily.drift import summary
from pipeline.daily.history import Diary
from pipeline.daily.record import Entry, Status
from pipeline.data.prepare import OneClassError, prepare
from pipeline.data.prepared import Prepared
from pipeline.files import parquet
from pipeline.files.atomic import fingerprint, sha256_file
from pipeline.files.partitions import day_of
from pipeline.registry.gate import Decision
from pipeline.registry.model import champion_run
from pipeline.registry.promotion import promote
from pipeline.registry.register import offer
from pipeline.runs.plan import Callback, PlannedRun, System
from pipeline.runs.run import Run
from pipeline.tracking.tracker import Tracker
from pipeline.training.runner import find_or_train
from pipeline.training.warm_start import can_start
from pipeline.validation import raw_data

_SHOWN = 10  # drifts in an entry

Watch = Callable[[PlannedRun], AbstractContextManager[Callback]]


@dataclass(frozen=True)
class Daily:
    """The job of a config.

    Args:
        config: What is trained; its rows are below ``dt=2026-01-31`` folders, and split by time.
        watch: Shows the training.
    """

    config: RunConfig
    watch: Watch

    def run(self, day: date) -> tuple[Entry, bool]:
        """Do a day.

        Returns:
            Its entry, and whether it was done now; False if everything was found done.

        Raises:
            InputError: If the config does not fit the job, the day has no files, or the days before it do not fit the
                config. Nothing is recorded then.
            AwayError: If the tracking store is away. What was trained is kept; the same command goes on from there.
        """
        files, before = self._files(day), self.diary.of(day)
        known = before if before is not None and before.files == files else None
        if known is not None and known.is_settled:
            return known, False
        entry = self._done(Entry(day=day, status="begun", files=files), before)
        if known is not None and known.status == entry.status == "rejected":
            return known, False
        return self.diary.save(entry), True

    def admit(self, day: date) -> Entry:
        """Let later days read a day that a check has found suspect: a person knows better.

        Raises:
            InputError: If a model was judged by the day and nothing was wrong with it, or it breaks the contract, which
                later days would break with it.
        """
        files, before = self._files(day), self.diary.of(day)
        if before is not None and before.is_decided and not before.is_left_out:
            raise InputError(f"{day} is {before.status}: later days read it already")
        _check_rows(self._reading(*self._days(day)))
        reasons = ["admitted by hand"]
        return self.diary.save(Entry(day=day, status="admitted", files=files, by_hand=True, reasons=reasons))

    def days(self, first: date, last: date) -> list[date]:
        """The days of a back-fill: all but those before the log begins, and those whose absence is accepted.

        That is where days may be empty, or where the day is left out.
        """
        there, accepted = self._there(), {*self.diary.left_out(), *self.config.data.without}
        every = [first + timedelta(n) for n in range((last - first).days + 1)]
        wanted = [day for day in every if day >= min(there, default=last) and day not in accepted]
        may_be_empty = self.config.contract.empty_days
        return [day for day in every if day in there or day == last or (day in wanted and not may_be_empty)]

    @property
    def diary(self) -> Diary:
        """What was found of each day."""
        return Diary(self.config)

    def _files(self, day: date) -> dict[str, str]:
        _check(self.config)
        if not self.config.data.reads(day):
            raise InputError(f"{day} is not read: see `data.since`, `data.until` and `data.without`")
        found = [path for path in parquet.find_files(self.config.data.train) if day_of(path) == day]
        if not found:
            fix = f"wait for it, or see where `data.train` ({self.config.data.train}) points"
            raise InputError(f"there is no file below a folder dt={day}: {fix}")
        return {str(path): sha256_file(path) for path in found}

    def _done(self, entry: Entry, before: Entry | None) -> Entry:
        days, left_out = self._days(entry.day)
        entry = entry.changed(left_out=left_out)
        if reason := self._undecidable(entry.day, days):
            return self._only_checked(entry, reason)
        config = self._config(days, left_out)
        try:
            prepared = prepare(config)
        except OneClassError as error:
            # Where the days before it lack a class, too, it is too early to judge.
            status = "suspect" if error.splits == {"test"} else "admitted"
            return entry.changed(status=status, reasons=[str(error)])
        except InputError as error:
            if self._breaks(config, entry.day):
                return entry.changed(status="rejected", reasons=[str(error)])
            raise
        identity = fingerprint(["day", config.name, str(entry.day), entry.files])
        with Tracker(config, prepared, day=(f"day {entry.day}", identity)) as tracker:
            entry = self._begun(entry, before, config, prepared, tracker)
            entry = self._judged(entry, config.changed({"train.start_from": entry.start_from}), prepared, tracker)
            tracker.attach(self.diary.write_page(entry))
        return entry

    def _days(self, day: date) -> tuple[list[date], dict[date, Status]]:
        """The days to read, the new one last, and those of the window that are left out."""
        first = day - timedelta(self.config.daily.window - 1)
        left_out = {d: s for d, s in self.diary.left_out().items() if first <= d < day}
        return sorted(d for d in self._there() if first <= d <= day and d not in left_out), left_out

    def _there(self) -> set[date]:
        """The days that there are files of, and that the config lets be read."""
        found = {day_of(path) for path in parquet.find_files(self.config.data.train)}
        return {day for day in found if day is not None and self.config.data.reads(day)}

    def _undecidable(self, day: date, days: list[date]) -> str | None:
        """Why no model can be judged by a day."""
        later = [entry.day for entry in self.diary if entry.day > day and entry.is_decided]
        if later:
            return f"{later[-1]} was decided before: the next day's run reads {day}"
        if len(days) < 3:
            return f"{len(days)} of the 3 days that the first run needs: one to train, one to validate, one to test"
        return None

    def _only_checked(self, entry: Entry, reason: str) -> Entry:
        try:
            _check_rows(self._reading([entry.day], {}))
        except InputError as error:
            return entry.changed(status="rejected", reasons=[str(error)])
        return entry.changed(status="admitted", reasons=[reason])

    def _reading(self, days: list[date], left_out: dict[date, Status]) -> RunConfig:
        without = (*self.config.data.without, *left_out)
        wanted = {"since": days[0], "until": days[-1], "without": without, "grow": True}
        return self.config.changed({f"data.{key}": value for key, value in wanted.items()})

    def _config(self, days: list[date], left_out: dict[date, Status]) -> RunConfig:
        """The config of a day's run."""
        reading = self._reading(days, left_out)
        split = self.config.split.model_copy(update={"validation": days[-2], "test": days[-1]})
        return reading.model_copy(update={"split": split})

    def _breaks(self, config: RunConfig, day: date) -> bool:
        """Whether it is a day that breaks the contract: all days do so together, and the others do not."""
        others = config.changed({"data.without": (*config.data.without, day)})
        return not _is_sound(config) and _is_sound(others)

    def _begun(
        self, entry: Entry, before: Entry | None, config: RunConfig, prepared: Prepared, tracker: Tracker
    ) -> Entry:
        """Decide what the run starts from, and write that down: a killed job's next one starts from the same."""
        if before is not None and before.data == prepared.fingerprint:
            last: str | None = before.start_from
        else:
            last = champion_run(tracker.client, config.name)
        is_warm = config.daily.warm_start and last and can_start(config, prepared, last)
        start_from = last if is_warm else ""
        return self.diary.save(entry.changed(start_from=start_from, data=prepared.fingerprint, rows=prepared.rows))

    def _judged(self, entry: Entry, config: RunConfig, prepared: Prepared, tracker: Tracker) -> Entry:
        planned, found = PlannedRun(System(config.train.method), config), summary(prepared)
        entry = entry.changed(drift=[asdict(one) for one in found.drifts[:_SHOWN]], positives=found.positives)
        with self.watch(planned) as progress:
            (run,) = find_or_train([planned], prepared, [progress, tracker], workers=1)
        version = offer(config, prepared, run, tracker)
        checks = day_checks(config, prepared, run, found)
        decision = promote(config, prepared, version, checks)
        return _decided(entry, run, decision, suspect=not all(check.passed for check in checks))


def _check_rows(config: RunConfig) -> None:
    raw_data.check_raw_data(config, raw_data.find_raw_files(config))


def _is_sound(config: RunConfig) -> bool:
    try:
        _check_rows(config)
    except InputError:
        return False
    return True


def _decided(entry: Entry, run: Run, decision: Decision, *, suspect: bool) -> Entry:
    refused: Status = "suspect" if suspect else "refused"
    failed = [f"{check.name}: {check.found}; {check.rule}" for check in decision.checks if not check.passed]
    return entry.changed(
        status="promoted" if decision.passed else refused,
        reasons=failed,
        run=run.fingerprint,
        auc={task: metrics["auc"] for task, metrics in run.test.items()},
        version=decision.candidate,
        champion=decision.candidate if decision.passed else decision.champion,
        checks=[asdict(check) for check in decision.checks],
    )


def _check(config: RunConfig) -> None:
    problems = []
    if config.split.time is None:
        problems.append("[split] should be by `time`: the newest day tests what the days before it trained")
    if config.data.holdout is not None:
        problems.append("data.holdout should be left out: the newest day is held out")
    if problems:
        raise InputError.of("the config does not fit `gradops daily`", problems)
