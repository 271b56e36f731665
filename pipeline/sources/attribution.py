"""Labels clicks of an event stream, by last-touch attribution within a window.

An event other than a click is credited to the latest click of the same user on the same item that is not later than the
event, if that click is at most the window earlier. So a purchase at the instant of a click is credited to it, and so is
one exactly the window later. Clicks of one pair at one instant are indistinguishable and share their credit.

A click's label is 1 if such an event is credited to it, and otherwise 0, if the log covers the click's whole window. A
click whose window is unfinished when the log ends, or whose user or item is unknown (null or NaN), has the label null,
even if an event was already credited to it: otherwise all known labels of the last window would be 1, and rates and
models wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain

import polars as pl

from features import naming, transforms
from features.nearest import missing_column
from features.transforms import Unit

CREDITED_TASKS = ("purchase", "cart", "wish")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_UNITS = {"ms": 10**3, "us": 10**6, "ns": 10**9}
_USER, _ITEM, _TIME, _ROLE, _CLICKED, _CREDITED = "__user", "__item", "__time", "__role", "__clicked", "__credited_"
_PAIR = (_USER, _ITEM)


def parse_window(text: str) -> timedelta:
    """A length of time such as ``90m``, ``24h`` or ``1d12h``.

    Raises:
        ValueError: If the text is no length of time, or the length is not above zero or longer than a century.
    """
    found = re.findall(r"(\d+)([smhdw])", text)
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in found)
    if "".join(map("".join, found)) != text or not 0 < seconds <= 36_525 * _SECONDS["d"]:
        raise ValueError(f"a window is a length of time such as 90m, 24h or 1d12h, found {text!r}")
    return timedelta(seconds=seconds)


@dataclass(frozen=True, kw_only=True)
class Events:
    """The columns of an event stream, and the roles of its events.

    Args:
        user: Column of the user.
        item: Column of the item.
        time: Column of the time, a Datetime, or a number since 1970 in a unit.
        unit: Unit of a time that is a number: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``.
        event: Column of the event; its values are compared as text, whole numbers without a fraction.
        click: Event values of clicks, the rows to label.
        purchase: Event values that give the label ``purchase``.
        cart: Event values that give the label ``cart``.
        wish: Event values that give the label ``wish``.
        ignore: Event values without a role.
    """

    user: str = "user_id"
    item: str = "item_id"
    time: str = "ts"
    unit: Unit | None = None
    event: str = "event"
    click: tuple[str, ...] = ("view", "click", "pv")
    purchase: tuple[str, ...] = ("buy", "purchase")
    cart: tuple[str, ...] = ("cart",)
    wish: tuple[str, ...] = ("fav", "favourite", "wish")
    ignore: tuple[str, ...] = ()

    @property
    def roles(self) -> dict[str, str]:
        """Event value to its role."""
        return {value: role for role in ("click", *CREDITED_TASKS, "ignore") for value in getattr(self, role)}

    def problems(self, schema: pl.Schema | None) -> Iterator[str]:
        """The problems of the declaration and, if the files' columns are known, of these."""
        named = {option: getattr(self, option) for option in ("user", "item", "time", "event")}
        if len(set(named.values())) < len(named):
            yield f"user, item, time and event should be four columns, found {', '.join(named.values())}"
        values = list(chain(self.click, *(getattr(self, task) for task in CREDITED_TASKS), self.ignore))
        if twice := sorted({value for value in values if values.count(value) > 1}):
            yield f"an event value should have one role, found several for {', '.join(twice)}"
        if empty := [role for role in ("click", *CREDITED_TASKS) if not getattr(self, role)]:
            yield f"each role should have an event value, found none for {', '.join(empty)}"
        yield from self._column_problems(schema) if schema is not None else ()

    def _column_problems(self, schema: pl.Schema) -> Iterator[str]:
        named = {option: getattr(self, option) for option in ("user", "item", "time", "event")}
        missing = {option: column for option, column in named.items() if column not in schema}
        yield from (missing_column(column, f"`--{option}`", "the events", schema) for option, column in missing.items())
        kind = schema.get(self.time)
        if kind is not None and not self.has_times(kind):
            rule = "a timestamp is a Datetime, or a number since 1970 whose `--unit` is given: cast it"
            yield f"column `{self.time}` (`--time`) holds {kind}; {rule}"
        for name, column in (("user", self.user), ("item", self.item)):
            if column in schema and schema[column].is_nested():
                yield f"column `{column}` (`--{name}`) holds {schema[column]}; an id is one value a row"
        for column in schema:
            if column in CREDITED_TASKS or column.startswith("__"):
                yield f"column `{column}` has a name that the result needs; rename it"

    def has_times(self, kind: pl.DataType) -> bool:
        """Whether the time column's type can be read."""
        return isinstance(kind, pl.Datetime) or (kind.is_numeric() and self.unit is not None)

    def moment(self, kind: pl.DataType) -> pl.Expr:
        """The time of each event as a Datetime, null where a number is none; in UTC if it is a number."""
        return pl.col(self.time) if isinstance(kind, pl.Datetime) else transforms.timestamp(self.time, kind, self.unit)

    def value(self, kind: pl.DataType) -> pl.Expr:
        """The kind of each event as text."""
        return naming.name(pl.col(self.event), kind, naming=1)  # as the options have them, true is "true"


def datetime_of(kind: pl.DataType) -> pl.Datetime:
    """The type of :meth:`Events.moment`, given that of the column."""
    return kind if isinstance(kind, pl.Datetime) else pl.Datetime("us")


def known_id(column: str, kind: pl.DataType) -> pl.Expr:
    """The user or item of each event; NaN, as pandas writes a gap, is unknown."""
    return pl.col(column).fill_nan(None) if kind.is_float() else pl.col(column)


def instant(value: int, kind: pl.DataType) -> pl.Expr:
    """The instant ``value`` units of a Datetime type after 1970."""
    return pl.lit(value, dtype=pl.Int64).cast(kind)


def units(length: timedelta, kind: pl.Datetime) -> int:
    """A length of time in units of a Datetime type."""
    return length // timedelta(seconds=1) * _UNITS[kind.time_unit]


def label(rows: pl.LazyFrame, events: Events, window: timedelta, kind: pl.Datetime, end: int) -> pl.LazyFrame:
    """The clicks among events, in their order, with every column they have and three labels.

    Args:
        rows: All events from the first click on until the window after the last one.
        events: The columns and the roles of events.
        window: Longest time from a click to an event that is credited to it.
        kind: Type of the times; see :func:`datetime_of`.
        end: The last instant of the log, in units of that type.
    """
    schema = rows.collect_schema()
    role = events.value(schema[events.event]).replace_strict(events.roles, default=None, return_dtype=pl.String)
    ids = {key: known_id(column, schema[column]) for key, column in zip(_PAIR, (events.user, events.item), strict=True)}
    rows = rows.with_columns(role.alias(_ROLE), events.moment(schema[events.time]).alias(_TIME), **ids)
    known = rows.filter(pl.all_horizontal(pl.col(_PAIR).is_not_null()))
    clicked = known.filter(pl.col(_ROLE) == "click").select(*_PAIR, _TIME).unique()
    others = known.filter(pl.col(_ROLE).is_in(CREDITED_TASKS)).select(*_PAIR, _TIME, _ROLE)
    # Sorted by time, as a join by groups needs; Polars cannot check the order within groups.
    credited = (
        others.sort(_TIME)
        .join_asof(
            clicked.with_columns(pl.col(_TIME).alias(_CLICKED)).sort(_TIME),
            on=_TIME,
            by=_PAIR,
            strategy="backward",
            check_sortedness=False,
        )
        .filter(pl.col(_TIME) - pl.col(_CLICKED) <= window)
        .group_by(*_PAIR, _CLICKED)
        .agg((pl.col(_ROLE) == task).any().alias(_CREDITED + task) for task in CREDITED_TASKS)
    )
    elapsed = pl.col(_TIME) <= instant(end - units(window, kind), kind)
    settled = elapsed & pl.all_horizontal(pl.col(_PAIR).is_not_null())
    return (
        rows.filter(pl.col(_ROLE) == "click")
        .join(credited, left_on=[*_PAIR, _TIME], right_on=[*_PAIR, _CLICKED], how="left", maintain_order="left")
        .with_columns(_label(pl.col(_CREDITED + task), settled).alias(task) for task in CREDITED_TASKS)
        .drop(*_PAIR, _TIME, _ROLE, *(_CREDITED + task for task in CREDITED_TASKS))
    )


def _label(credited: pl.Expr, settled: pl.Expr) -> pl.Expr:
    return pl.when(settled).then(credited.fill_null(value=False).cast(pl.Int8))


def label_day(
    rows: pl.LazyFrame, events: Events, window: timedelta, kind: pl.Datetime, end: int, day: int
) -> pl.LazyFrame:
    """The result of :func:`label` for the clicks of one day, from the events of that day and the window after it.

    Args:
        rows: All events of the log; only those of the day and the window after it are read.
        events: As for :func:`label`.
        window: As for :func:`label`.
        kind: As for :func:`label`.
        end: As for :func:`label`.
        day: Days since 1970-01-01, by UTC where the time has a zone.
    """
    length = units(timedelta(days=1), kind)
    first, last = day * length, (day + 1) * length - 1
    time = events.moment(rows.collect_schema()[events.time])
    reach = rows.filter(time.is_between(instant(first, kind), instant(last + units(window, kind), kind)))
    return label(reach, events, window, kind, end).filter(time <= instant(last, kind))
