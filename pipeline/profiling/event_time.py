"""Which time is that of a row's own event, and why rows are not split by it."""

from __future__ import annotations

from collections.abc import Mapping

from features.errors import InputError
from pipeline.profiling import column_names as names
from pipeline.profiling.column import Column
from pipeline.profiling.log import Log
from pipeline.profiling.notation import has_written_times, times_fix
from pipeline.profiling.questions import Asker
from pipeline.profiling.times import Times, own_times
from pipeline.profiling.wishes import Wishes


def event_time(log: Log, times: Mapping[str, Times], wishes: Wishes, asker: Asker) -> Times | None:
    """The time of a row's own event."""
    able = own_times(dict(times), log)
    if wishes.time is not None:
        if wishes.time not in able:
            rule = "a date, a datetime or a number since 1970, known in every row and not always the same"
            raise InputError(f"--time {wishes.time}: the time of a row's event is {rule}")
        return times[wishes.time]
    able = [name for name in able if names.is_own_time(name) or not names.is_outcome(name)]
    if not able:
        return None
    return times[able[0] if len(able) == 1 else asker.time(able, able[0])]


def without_time(log: Log, columns: Mapping[str, Column], times: Mapping[str, Times], own: Times | None) -> str:
    """The reason why rows are not split by time, if it comes to that."""
    if own is not None:
        return f"`{own.column.name}` leaves parts without a class"
    texts = [one.column for one in times.values() if not one.can_split]
    if texts := [*texts, *filter(has_written_times, columns.values())]:
        return f"`{texts[0].name}` has times that cannot split, {times_fix(texts[0], log)}"
    return "no column has the time of every row"
