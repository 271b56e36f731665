"""`gradops label` as a user meets it: folders in, folders out, and one message for everything that is wrong."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import polars.testing
import pytest
from filelock import FileLock

from features.errors import InputError
from jobs import steps
from pipeline.sources import labelling
from pipeline.sources.attribution import CREDITED_TASKS, Events
from pipeline.sources.labelling import label_events
from tests.commands import run
from tests.pipeline.sources.event_stream import STREAM, frame, labelled


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """The stream in three files, out of order."""
    folder = tmp_path / "events"
    folder.mkdir()
    for number, part in enumerate(frame(STREAM).iter_slices(12)):
        part.write_parquet(folder / f"{number}.parquet")
    return folder


def test_a_folder_becomes_labelled_days(events: Path) -> None:
    code, out, err = run("label", str(events), "--out", "clicks", "--json")
    assert code == 0, err
    expected = labelled(frame(STREAM))
    counts = {t: {"known": expected[t].count(), "positives": expected[t].sum()} for t in CREDITED_TASKS}
    summary = {"clicks": expected.height, "days": 2, "tasks": counts, "left_out": [], "widened": [], "out": "clicks"}
    assert json.loads(out) == summary
    assert sorted(p.name for p in Path("clicks").iterdir()) == ["dt=2026-01-01", "dt=2026-01-02", "manifest.json"]
    found = pl.read_parquet("clicks/**/*.parquet", hive_partitioning=True)
    assert (found.get_column("ts").dt.date() == found.get_column("dt")).all()
    pl.testing.assert_frame_equal(found.drop("dt").sort("page"), expected)


def test_files_and_days_are_counted_while_one_waits(events: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_SILENT", 0.0)
    monkeypatch.setattr(steps, "_BETWEEN", 0.0)
    code, _, err = run("label", str(events), "--out", "clicks")
    assert code == 0, err
    files = len(list(events.iterdir()))
    counted = [f"files of events: {n} of {files}" for n in range(1, files + 1)]
    assert [line for line in err.splitlines() if " of " in line and line[-1].isdigit()] == [
        *counted,
        "days of clicks: 1 of 2",
        "days of clicks: 2 of 2",
    ]


def test_it_is_safe_to_repeat_and_refuses_another_result(events: Path) -> None:
    first = run("label", str(events), "--out", "clicks")
    written = {p: p.stat().st_mtime_ns for p in Path("clicks").rglob("*")}
    assert run("label", str(events), "--out", "clicks") == first
    assert first[0] == 0
    assert "clicks of 2 day(s)" in first[1]
    assert {p: p.stat().st_mtime_ns for p in Path("clicks").rglob("*")} == written
    code, _, err = run("label", str(events), "--out", "clicks", "--window", "2h")
    assert code == 2
    assert "holds clicks of other window" in " ".join(err.split())


def test_columns_and_values_have_the_names_you_say(events: Path) -> None:
    names = {"user_id": "uid", "item_id": "sku", "ts": "at", "event": "kind"}
    codes = {"view": 1, "click": 1, "pv": 1, "cart": 2, "fav": 3, "wish": 3, "favourite": 3, "buy": 4}
    coded = frame(STREAM).with_columns(pl.col("event").replace_strict(codes, return_dtype=pl.Int32)).rename(names)
    coded.write_parquet("coded.parquet")
    columns = ["--user", "uid", "--item", "sku", "--time", "at", "--event", "kind"]
    values = ["--click", "1", "--cart", "2", "--wish", "3", "--purchase", "4"]
    code, _, err = run("label", "coded.parquet", "--out", "clicks", *columns, *values)
    assert code == 0, err
    found = pl.read_parquet("clicks/**/*.parquet", hive_partitioning=False).sort("page")
    pl.testing.assert_frame_equal(found.select(CREDITED_TASKS), labelled(frame(STREAM)).select(CREDITED_TASKS))


def test_everything_wrong_is_one_message() -> None:
    Path("bad").mkdir()
    rows = frame(STREAM).drop("item_id").with_columns(event=pl.lit("share"), cart=pl.lit(1), ts=pl.col("ts"))
    rows.with_columns(ts=pl.when(pl.col("page") > 1).then("ts")).write_parquet("bad/0.parquet")
    Path("clicks").mkdir()
    Path("clicks/thesis.tex").touch()
    code, out, err = run("label", "bad", "--out", "clicks", "--window", "soon", "--cart", "buy,cart")
    assert (code, out) == (2, "")
    message = " ".join(err.split())
    for part in (
        "8 problem(s)", "several for buy", "`item_id` (`--item`) is missing", "column `cart` has a name",
        "'soon'", f"'share' ({len(STREAM)} row(s))", "no time in 2 row(s)",
        "no click (`--click view,click,pv`)", "thesis",
    ):  # fmt: skip
        assert part in message.replace("clicks holds something", "thesis"), part


@pytest.mark.parametrize("kind", [pl.Int64, pl.Date, pl.String])
def test_a_time_is_a_datetime(kind: Any) -> None:
    frame(STREAM).with_columns(pl.col("ts").cast(kind)).write_parquet("events.parquet")
    with pytest.raises(InputError, match=r"`ts` \(`--time`\) holds \w+; a timestamp is a Datetime"):
        label_events("events.parquet", Path("clicks"), Events(), "24h")


def test_unreadable_and_differing_files_are_named(events: Path) -> None:
    (events / "1.parquet").write_text("not Parquet")
    frame(STREAM).with_columns(pl.col("page").cast(pl.String)).write_parquet(events / "2.parquet")
    with pytest.raises(
        InputError, match=r"2 problem(?s:.*)1.parquet is not a readable(?s:.*)`page` is String, not Int64"
    ):
        label_events(str(events), Path("clicks"), Events(), "24h")
    with pytest.raises(InputError, match="no Parquet file at `nowhere"):
        label_events("nowhere/*.parquet", Path("clicks"), Events(), "24h")


def test_a_file_damaged_inside_is_refused_and_nothing_is_left(events: Path) -> None:
    path = events / "0.parquet"
    content = bytearray(path.read_bytes())
    content[4:200] = b"\xff" * 196
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        label_events(str(events), Path("clicks"), Events(), "24h")
    assert not [p for p in Path().glob("**/*clicks*") if not p.name.endswith(".lock")]


def test_an_interrupted_labelling_leaves_nothing_and_a_dead_one_is_swept(
    events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    Path(".clicks.1.draft/dt=2026-01-01").mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(labelling, "_counts", stop)
        with pytest.raises(KeyboardInterrupt):
            label_events(str(events), Path("clicks"), Events(), "24h")
    assert not list(Path().glob("**/*clicks*/*"))
    assert label_events(str(events), Path("clicks"), Events(), "24h")["days"] == 2


def test_values_can_be_ignored_and_end_the_log_all_the_same() -> None:
    rows = [("a", 1, 0, "view"), ("b", 1, 30, "search")]
    frame(rows).write_parquet("events.parquet")
    summary = label_events("events.parquet", Path("clicks"), Events(ignore=("search",)), "1d")
    assert summary["tasks"]["purchase"] == {"known": 1, "positives": 0}


def test_two_commands_on_one_folder_are_exit_code_4(events: Path) -> None:
    with FileLock(".clicks.lock"):
        assert run("label", str(events), "--out", "clicks")[0] == 4


def test_a_log_of_many_days_is_read_by_day(tmp_path: Path) -> None:
    rows = [("a", 1, h, event) for h in range(0, 24 * 30, 7) for event in ("view",)] + [("a", 1, 100.0, "buy")]
    frame(rows).sort("ts").write_parquet("events.parquet")
    assert label_events("events.parquet", Path("clicks"), Events(), "2d")["days"] == 30
    found = pl.read_parquet("clicks/**/*.parquet", hive_partitioning=False).sort("page")
    pl.testing.assert_frame_equal(found, labelled(frame(rows).sort("ts"), timedelta(days=2)).sort("page"))
