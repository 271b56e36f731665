"""The scheduled job: `gradops daily shop.toml --date 2026-01-31`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.console import REFUSED, WRONG_INPUT, AsJson, Config, Overrides, err, locked, out, show

if TYPE_CHECKING:
    from pipeline.config.run import RunConfig
    from pipeline.daily.record import DayRecord

_CODES = {"rejected": WRONG_INPUT, "refused": REFUSED, "suspect": REFUSED}

_day = typer.Option("--date", help="The day to run.", formats=["%Y-%m-%d"])
_admit = typer.Option("--admit", help="Let later days train on this day although a check failed.")
_since = typer.Option(help="Run every day from this one up to --date: a back-fill.", formats=["%Y-%m-%d"])


def main(
    config: Config,
    overrides: Overrides,
    day: Annotated[datetime, _day],
    since: Annotated[datetime | None, _since] = None,
    admit: Annotated[bool, _admit] = False,
    as_json: AsJson = False,
) -> None:
    """Check a new day, train on top of the days before it, judge the model by it, and serve the model if it passes."""
    from jobs.progress import TrainingProgress
    from pipeline.daily.job import DailyJob
    from pipeline.tracking.connection import require_store
    from pipeline.training.resolve import load_config

    loaded = load_config(config, overrides)
    daily = DailyJob(loaded, lambda planned: TrainingProgress([planned]))
    done, codes = [], [0]
    try:
        with locked(loaded), require_store("what was trained is kept; once it is back the same command does the rest"):
            for each in daily.days((since or day).date(), day.date()):
                record, now = (daily.admit(each), True) if admit else daily.run(each)
                done.append(record)
                if now or each == day.date():  # a back-fill does not report failures of days decided earlier again
                    codes.append(_CODES.get(record.status, 0))
                if not as_json:
                    out.print(_line(record, now), highlight=False, markup=False, soft_wrap=True)
                if now and loaded.daily.keep:
                    _clean(loaded, as_json)
    finally:
        if as_json:
            show(None, [record.model_dump(mode="json") for record in done], as_json=True)
    raise typer.Exit(min(filter(None, codes), default=0))


def _clean(config: RunConfig, as_json: bool) -> None:
    """Remove what is older than `[daily] keep`; trouble with it is told, and stops no day."""
    from features.errors import InputError
    from jobs.clean import summary_line
    from pipeline.cleaning.clean import clean
    from pipeline.config.age import parse_age
    from pipeline.tracking.connection import STORE_ERRORS, error_text

    try:
        cleaning = clean(config, parse_age(config.daily.keep))
    except (InputError, *STORE_ERRORS) as error:
        reason = str(error) if isinstance(error, InputError) else error_text(error)
        err.print(f"not cleaned: {reason}", style="yellow", highlight=False, markup=False, soft_wrap=True)
        return
    if cleaning.going and not as_json:
        out.print(summary_line(cleaning), highlight=False, markup=False, soft_wrap=True)


def _line(record: DayRecord, now: bool) -> str:
    """A day's outcome, in one line."""
    aucs = ", ".join(f"{task} {auc:.4f}" for task, auc in record.auc.items())
    none = "no version serves yet: the first one that passes the gate will" if record.version else ""
    served = f"version {record.champion} serves" if record.champion else none
    left_out = ", ".join(f"{day} left out ({status})" for day, status in record.left_out.items())
    reasons = [" ".join(reason.split()) for reason in record.reasons]
    parts = [aucs and f"AUC {aucs}", served, left_out, *reasons]
    again = "" if now else " before, nothing to do"
    return f"{record.day} {record.status}{again}: {'; '.join(part for part in parts if part)}"
