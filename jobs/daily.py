"""The scheduled job: `gradops daily shop.toml --date 2026-01-31`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.console import REFUSED, WRONG_INPUT, AsJson, Config, Overrides, locked, out, show

if TYPE_CHECKING:
    from pipeline.daily.record import Entry

_CODES = {"rejected": WRONG_INPUT, "refused": REFUSED, "suspect": REFUSED}

_day = typer.Option("--date", help="The day.", formats=["%Y-%m-%d"])
_since = typer.Option(help="First of the days up to it, for a back-fill.", formats=["%Y-%m-%d"])


def main(
    config: Config,
    overrides: Overrides,
    day: Annotated[datetime, _day],
    since: Annotated[datetime | None, _since] = None,
    admit: Annotated[bool, typer.Option(help="Let later days read it, whatever was found of it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a new day, train on top of the days before it, judge the model by it, and serve the model if it passes."""
    from jobs.progress import TrainingProgress
    from pipeline.daily.job import Daily
    from pipeline.tracking.connection import reached
    from pipeline.training.resolve import load_config

    loaded = load_config(config, overrides)
    daily = Daily(loaded, lambda planned: TrainingProgress([planned]))
    done, codes = [], [0]
    try:
        with locked(loaded), reached("what was trained is kept; once it is back the same command does the rest"):
            for each in daily.days((since or day).date(), day.date()):
                entry, now = (daily.admit(each), True) if admit else daily.run(each)
                done.append(entry)
                if now or each == day.date():  # a back-fill passes days that were found wanting long ago
                    codes.append(_CODES.get(entry.status, 0))
                if not as_json:
                    out.print(_line(entry, now), highlight=False, markup=False, soft_wrap=True)
    finally:
        if as_json:
            show(None, [entry.model_dump(mode="json") for entry in done], as_json=True)
    raise typer.Exit(min(filter(None, codes), default=0))


def _line(entry: Entry, now: bool) -> str:
    """What happened, in one line."""
    aucs = ", ".join(f"{task} {auc:.4f}" for task, auc in entry.auc.items())
    served = f"version {entry.champion} serves" if entry.champion else ""
    left_out = ", ".join(f"{day} left out ({status})" for day, status in entry.left_out.items())
    reasons = [" ".join(reason.split()) for reason in entry.reasons]
    parts = [aucs and f"AUC {aucs}", served, left_out, *reasons]
    again = "" if now else " before, nothing to do"
    return f"{entry.day} {entry.status}{again}: {'; '.join(part for part in parts if part)}"
