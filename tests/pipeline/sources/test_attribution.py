"""Which click an event is credited to: by hand, against a naive version, and day by day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import polars.testing
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sources.attribution import CREDITED_TASKS, Events, label_day, parse_window
from tests.pipeline.sources.event_stream import START, STREAM, WINDOW, Row, end_of, frame, labelled


def by_days(table: pl.DataFrame, window: timedelta = WINDOW) -> pl.DataFrame:
    kind = table.schema["ts"]
    assert isinstance(kind, pl.Datetime)
    first = (START - datetime(1970, 1, 1)).days
    days = range(first, first + 5)
    return pl.concat(label_day(table.lazy(), Events(), window, kind, end_of(table), day).collect() for day in days)


def written(table: pl.DataFrame) -> list[str]:
    return ["".join("?" if v is None else str(v) for v in row) for row in table.select(CREDITED_TASKS).iter_rows()]


def test_a_stream_worked_out_by_hand() -> None:
    clicks = labelled(frame(STREAM))
    assert written(clicks) == [row[4] for row in STREAM if len(row) == 5]
    assert clicks.columns == ["user_id", "item_id", "ts", "event", "page", *CREDITED_TASKS]
    assert clicks.get_column("page").to_list() == [i for i, row in enumerate(STREAM) if len(row) == 5]
    assert set(clicks.select(CREDITED_TASKS).dtypes) == {pl.Int8}


@pytest.mark.parametrize(
    "kind", [pl.Datetime("ms", "UTC"), pl.Datetime("us", "Europe/Madrid"), pl.Datetime("ns", "America/New_York")]
)
def test_units_and_zones_change_nothing(kind: pl.Datetime) -> None:
    clicks = labelled(frame(STREAM, kind))
    assert written(clicks) == [row[4] for row in STREAM if len(row) == 5]
    assert clicks.schema["ts"] == kind
    pl.testing.assert_frame_equal(by_days(frame(STREAM, kind)).sort("page"), clicks)


def test_a_day_with_a_changed_clock_is_24_hours_in_the_window() -> None:
    """In Madrid the night to 29 March 2026 lacks an hour: 24 hours after noon it is one in the afternoon."""
    noon = datetime(2026, 3, 28, 11, tzinfo=UTC)
    times = [noon, noon + WINDOW, noon, noon + WINDOW + timedelta(seconds=1)]
    table = pl.DataFrame({"user_id": [1, 1, 2, 2], "item_id": 1, "ts": times, "event": ["view", "buy"] * 2})
    local = table.with_columns(pl.col("ts").dt.convert_time_zone("Europe/Madrid"))
    assert written(labelled(local)) == ["100", "000"]


def test_the_order_of_rows_changes_no_label() -> None:
    clicks = labelled(frame(STREAM))
    for seed in range(3):
        shuffled = labelled(frame(STREAM).sample(fraction=1, shuffle=True, seed=seed))
        pl.testing.assert_frame_equal(shuffled.sort("page"), clicks)


def naive(rows: list[Row], window: timedelta) -> list[str]:
    """Every event against every click."""
    roles = Events().roles
    end = START + timedelta(hours=max(row[2] for row in rows))
    result = []
    for user, item, hour, event in rows:
        if roles[event] != "click":
            continue
        labels = ""
        for task in CREDITED_TASKS:
            mine = any(
                roles[e] == task
                and (u, i) == (user, item)
                and None not in (u, i)
                and 0 <= h - hour <= window / timedelta(hours=1)
                and not any((u2, i2, roles[e2]) == (u, i, "click") and hour < h2 <= h for u2, i2, h2, e2 in rows)
                for u, i, h, e in rows
            )
            settled = None not in (user, item) and START + timedelta(hours=hour) + window <= end
            labels += ("1" if mine else "0") if settled else "?"
        result.append(labels)
    return result


events = st.sampled_from(["view", "click", "cart", "fav", "buy", "purchase"])
rows = st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([1, 2, None]), st.integers(0, 96), events)


@settings(max_examples=60)
@given(st.lists(rows, min_size=1, max_size=25), st.sampled_from([1, 5, 24, 60]))
def test_against_every_event_with_every_click(stream: list[Row], hours: int) -> None:
    window = timedelta(hours=hours)
    clicks = labelled(frame(stream), window)
    assert written(clicks) == naive(stream, window)
    pl.testing.assert_frame_equal(by_days(frame(stream), window).sort("page"), clicks)


@pytest.mark.parametrize(("text", "hours"), [("24h", 24), ("90m", 1.5), ("1d12h", 36), ("1w", 168), ("3600s", 1)])
def test_windows(text: str, hours: float) -> None:
    assert parse_window(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "24", "h", "0h", "-1h", "1.5h", "24 h", "1y", "99999999999999999999w"])
def test_what_is_no_window(text: str) -> None:
    with pytest.raises(ValueError, match="a window is a length of time"):
        parse_window(text)
