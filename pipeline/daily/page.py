"""A day of the scheduled job as a page for a person, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.daily.record import Entry


def markdown(entry: Entry) -> str:
    """The page of an entry."""
    return "\n".join([f"# {entry.day}: {entry.status}", "", *_story(entry), *_tables(entry)]) + "\n"


def _story(entry: Entry) -> Iterator[str]:
    yield from (f"- {reason}" for reason in entry.reasons)
    yield from (f"- left out: {day}, {status}" for day, status in entry.left_out.items())
    if entry.data:
        rows = ", ".join(f"{split} {count:,}" for split, count in entry.rows.items())
        yield f"- data {entry.data}: {rows} rows"
    if entry.run:
        yield f"- run {entry.run}, started from {entry.start_from or 'its seed'}; offered as version {entry.version}"
    if entry.champion:
        yield f"- version {entry.champion} is the champion"
    yield f"- begun {entry.began:%Y-%m-%d %H:%M:%S}, done {entry.written:%Y-%m-%d %H:%M:%S} UTC"


def _tables(entry: Entry) -> Iterator[str]:
    if entry.checks:
        checks = [[c["name"], "passed" if c["passed"] else "**failed**", c["found"], c["rule"]] for c in entry.checks]
        yield from _table("Checks", ["check", "", "found", "rule"], checks)
    if entry.positives:
        shares = [[task, f"{day:.3%}", f"{before:.3%}"] for task, (day, before) in entry.positives.items()]
        yield from _table("Positives", ["task", "the day", "training days"], shares)
    if entry.drift:
        keys = ("feature", "psi", "null", "unknown", "shift")
        drifts = [[_cell(one[key]) for key in keys] for one in entry.drift]
        yield from _table("What has changed most", ["feature", "PSI", "null", "unknown", "shift in sd"], drifts)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(row) + " |"


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.3f}"
