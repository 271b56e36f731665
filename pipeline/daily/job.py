"""The scheduled job: a new day is checked, prepared, trained on top of the days before it, judged, and perhaps served.

The new day tests, the day before it validates, and all earlier days train: nothing was fitted or chosen on the rows
that decide. A day that breaks the contract is rejected; a day whose data fails a check is suspect. Later days leave
both out, and say so, until the job has run on them again and found them mended. A killed job continues where it was,
and finished steps are not repeated: every step finds its own result by a fingerprint.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.daily.history import History
from pipeline.daily.record import DayRecord, Status
from pipeline.daily.steps import CheckedDay, ShowTraining, check_day, judge_day, prepare_day, train_day
from pipeline.files.atomic import fingerprint
from pipeline.files.content import digest
from pipeline.files.table import find_table
from pipeline.tracking.group import RunGroup
from pipeline.tracking.tracker import Tracker
from pipeline.validation import raw_data
from pipeline.validation.findings import Findings


@dataclass(frozen=True)
class DailyJob:
    """The job of a config.

    Args:
        config: The config; its rows are in folders like ``dt=2026-01-31``, and its split is by time.
        show: Shows the progress of the training.
    """

    config: RunConfig
    show: ShowTraining

    def run(self, day: date) -> tuple[DayRecord, bool]:
        """Run the job of a day.

        Returns:
            The day's record, and whether it was made now; False if the day was done before.

        Raises:
            InputError: If the config does not fit the job, the day has no files, or the days before it break the
                contract. Nothing is recorded then.
            AwayError: If the tracking store is away. Trained runs are kept; the same command continues from there.
        """
        files, before = self._files(day), self.history.of(day)
        known = before if before is not None and before.files == files else None
        if known is not None and known.is_settled:
            return known, False
        record = self._done(DayRecord(day=day, status="begun", files=files), before)
        if known is not None and known.status == record.status == "rejected":
            return known, False
        return self.history.save(record), True

    def admit(self, day: date) -> DayRecord:
        """Let later days read a suspect day, by a person's decision.

        Raises:
            InputError: If later days read the day already, since a model was judged by it and its data passed every
                check; or if it breaks the contract, so that later days would break it, too.
        """
        files, before = self._files(day), self.history.of(day)
        if before is not None and before.is_decided and not before.is_left_out:
            raise InputError(f"{day} is {before.status}: later days read it already")
        _examine(self._reading(*self._days(day))).check()
        reasons = ["admitted by hand"]
        return self.history.save(DayRecord(day=day, status="admitted", files=files, by_hand=True, reasons=reasons))

    def days(self, first: date, last: date) -> list[date]:
        """The days of a back-fill: all but those before the log begins, and those whose absence is accepted.

        An absence is accepted if the contract allows empty days, or if the day is left out.
        """
        there, accepted = self._there(), {*self.history.left_out(), *self.config.data.without}
        every = [first + timedelta(n) for n in range((last - first).days + 1)]
        wanted = [day for day in every if day >= min(there, default=last) and day not in accepted]
        may_be_empty = self.config.contract.empty_days
        return [day for day in every if day in there or day == last or (day in wanted and not may_be_empty)]

    @property
    def history(self) -> History:
        """The records of all days."""
        return History(self.config)

    def _files(self, day: date) -> dict[str, str]:
        _check_config(self.config)
        if not self.config.data.reads(day):
            raise InputError(f"{day} is excluded by the config: see `data.since`, `data.until` and `data.without`")
        days, fix = self.config.data.days, f"wait for it, or see where `data.train` ({self.config.data.train}) points"
        try:
            found = [path for path in find_table(self.config.data.train).files if days.of(path) == day]
        except InputError as error:
            found, fix = [], str(error)
        if not found:
            raise InputError(f"there is no file below a folder dt={day}: {fix}")
        return {str(path): digest(path) for path in found}

    def _done(self, record: DayRecord, before: DayRecord | None) -> DayRecord:
        """Take a day through its steps.

        Args:
            record: The day's record at its beginning.
            before: The record of an earlier job on the day, if there is one.
        """
        checked = self._checked(record)
        if isinstance(checked, DayRecord):
            return checked
        prepared = prepare_day(checked)
        if isinstance(prepared, DayRecord):
            return prepared
        identity = fingerprint(["day", self.config.name, str(record.day), record.files])
        group = RunGroup.day(record.day, identity)
        with Tracker.open(prepared.config, prepared.prepared, group) as tracker:
            trained = train_day(prepared, before, self.history, tracker, self.show)
            done = judge_day(trained, tracker).record
            tracker.attach(self.history.write_page(done))
        return done

    def _checked(self, record: DayRecord) -> CheckedDay | DayRecord:
        """Hold the day against the contract: with the days before it, or alone where no model can be judged by it."""
        days, left_out = self._days(record.day)
        record = record.changed(left_out=left_out)
        reason = self._undecidable(record.day, days)
        if reason is None:
            return check_day(record, self._config(days, left_out))
        findings = _examine(self._reading([record.day], {}))
        if findings.problems:
            return record.changed(status="rejected", reasons=[findings.message])
        return record.changed(status="admitted", reasons=[reason])

    def _days(self, day: date) -> tuple[list[date], dict[date, Status]]:
        """The days to read, the new one last; and the days of the window that are left out."""
        first = day - timedelta(self.config.daily.window - 1)
        left_out = {d: s for d, s in self.history.left_out().items() if first <= d < day}
        return sorted(d for d in self._there() if first <= d <= day and d not in left_out), left_out

    def _there(self) -> set[date]:
        """The days with files, as far as the config reads them; none if there is no table, as :meth:`_files` says."""
        try:
            found = set(map(self.config.data.days.of, find_table(self.config.data.train).files))
        except InputError:
            found = set()
        return {day for day in found if day is not None and self.config.data.reads(day)}

    def _undecidable(self, day: date, days: list[date]) -> str | None:
        """The reason why no model can be judged by a day; None if one can."""
        later = [record.day for record in self.history if record.day > day and record.is_decided]
        if later:
            return f"{later[-1]} was decided before: the next day's run reads {day}"
        if len(days) < 3:
            return f"{len(days)} of the 3 days that the first run needs: one to train, one to validate, one to test"
        return None

    def _reading(self, days: list[date], left_out: dict[date, Status]) -> RunConfig:
        without = (*self.config.data.without, *left_out)
        wanted = {"since": days[0], "until": days[-1], "without": without, "grow": True}
        return self.config.changed({f"data.{key}": value for key, value in wanted.items()})

    def _config(self, days: list[date], left_out: dict[date, Status]) -> RunConfig:
        """The config of a day's run."""
        reading = self._reading(days, left_out)
        split = self.config.split.model_copy(update={"validation": days[-2], "test": days[-1]})
        return reading.model_copy(update={"split": split})


def _examine(config: RunConfig) -> Findings:
    return raw_data.examine_raw_data(config, raw_data.find_raw_files(config))


def _check_config(config: RunConfig) -> None:
    problems = []
    if config.split.time is None:
        problems.append("[split] should be by `time`: the newest day tests what the days before it trained")
    if config.data.holdout is not None:
        problems.append("data.holdout should be left out: the newest day is held out")
    if problems:
        raise InputError.of("the config does not fit `gradops daily`", problems)
