"""A day of the scheduled job as a page for a person, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.daily.record import DayRecord


def day_page(record: DayRecord) -> str:
    """The page of a record: reasons, data, run, checks, drift."""
    return "\n".join([f"# {record.day}: {record.status}", "", *_story(record), *_tables(record)]) + "\n"


def _story(record: DayRecord) -> Iterator[str]:
    yield from (f"- {reason}" for reason in record.reasons)
    yield from (f"- left out: {day}, {status}" for day, status in record.left_out.items())
    if record.data:
        rows = ", ".join(f"{split} {count:,}" for split, count in record.rows.items())
        yield f"- data {record.data}: {rows} rows"
    if record.run:
        yield f"- run {record.run}, started from {record.start_from or 'its seed'}; offered as version {record.version}"
    if record.champion:
        yield f"- version {record.champion} is the champion"
    yield f"- begun {record.began:%Y-%m-%d %H:%M:%S}, done {record.written:%Y-%m-%d %H:%M:%S} UTC"


def _tables(record: DayRecord) -> Iterator[str]:
    if record.checks:
        checks = [[c["name"], "passed" if c["passed"] else "**failed**", c["found"], c["rule"]] for c in record.checks]
        yield from _table("Checks", ["check", "", "found", "rule"], checks)
    if record.positives:
        shares = [[task, f"{day:.3%}", f"{before:.3%}"] for task, (day, before) in record.positives.items()]
        yield from _table("Positives", ["task", "the day", "training days"], shares)
    if record.drift:
        keys = ("feature", "psi", "null", "unknown", "shift")
        drifts = [[_cell(one[key]) for key in keys] for one in record.drift]
        yield from _table("What has changed most", ["feature", "PSI", "null", "unknown", "shift in sd"], drifts)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(row) + " |"


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.3f}"
