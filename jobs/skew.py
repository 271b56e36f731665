"""Scored rows against training rows: `gradops skew models:/shop@champion sample --fail-above 0.25`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.console import REFUSED, AsJson, Model, out, show
from jobs.tables import Figures

if TYPE_CHECKING:
    from pipeline.serving.sample.files import Sample
    from pipeline.serving.scorer import Scorer
    from pipeline.skew.comparison import Comparison, ScoreSkew, Skew
    from pipeline.skew.reference import Reference

_Prepared = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the prepared data that the model was trained on, for a model registered by an older gradops.",
        show_default="the distributions that were registered with the model",
    ),
]
_SHOWN, _MOST_NAMED = 30, 10
_RULE = (
    "PSI: below 0.1 no difference, from 0.25 on a strong one, by common rule. `chance`: one sample of a hundred of "
    "this size is above it if nothing has changed. `usual`: the PSI of the validation rows. `shift`: of the mean, in "
    "training standard deviations."
)


def main(
    model: Model,
    folder: Annotated[Path, typer.Argument(help="Folder of the sample.", show_default=False)],
    prepared: _Prepared = None,
    since: Annotated[
        datetime | None, typer.Option(help="Leave out files whose last row is older (UTC).", show_default="all")
    ] = None,
    fail_above: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="PSI",
            help="End with exit code 3 if a PSI exceeds `chance` and `usual` by more than this.",
            show_default="never",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the rows that a model has scored, sampled by `serve` or `score`, with its training rows."""
    from pipeline.serving.sample.files import Sample
    from pipeline.skew.comparison import compare

    scorer, reference = _loaded(model, prepared)
    sample = Sample.of(folder, scorer.digest, None if since is None else since.replace(tzinfo=UTC))
    found = compare(sample, reference, scorer.encoder.spec)
    above = [] if fail_above is None else found.above(fail_above)
    notes = [*_notes(sample, found), *([] if fail_above is None else _verdict(found, fail_above))]
    if not as_json:
        out.print(_features(found), _scores(found))
    show("\n".join(notes), _plain(sample, found, notes) | {"above": [one.name for one in above]}, as_json)
    if above:
        raise typer.Exit(REFUSED)


def _loaded(model: str, prepared: Path | None) -> tuple[Scorer, Reference]:
    """The model, and what its training rows were like."""
    from features.errors import InputError
    from pipeline.data.prepared import Prepared
    from pipeline.explanation.own_data import is_of_data
    from pipeline.registry.packaging import fetched
    from pipeline.serving.scorer import Scorer
    from pipeline.skew.reference import TRAINING, Reference
    from pipeline.tracking.connection import require_store

    with require_store("nothing is compared; give the command again once it is back"), fetched(model) as files:
        scorer = Scorer.load(files)
        if prepared is None:
            return scorer, Reference.load(files.with_name(TRAINING), scorer)
        data = Prepared.find(prepared)
        if data is None or not is_of_data(files, data):
            why = "it is no complete folder of prepared data" if data is None else "its encoder is another one"
            fix = "give the folder, below `data.prepared`, that the model's version names in its tag `data`"
            raise InputError(f"{prepared} is not the data that {model} was trained on: {why}; {fix}")
        return scorer, Reference.of(scorer, data)


def _features(found: Comparison) -> Figures:
    title = f"{found.rows:,} rows of {found.requests:,} requests against {found.training_rows:,} training rows"
    columns = ("feature", "PSI", "chance", "usual", "null, before", "unseen, before", "shift")
    rows = [[one.name, *_index(one), _pair(one.null), _pair(one.unseen), _shift(one)] for one in found.features]
    hidden = [f"{len(rows) - _SHOWN} more features: `--json` has all"] * (len(rows) > _SHOWN)
    return Figures(columns, rows[:_SHOWN], title, [*hidden, _RULE])


def _scores(found: Comparison) -> Figures:
    columns = ("score", "PSI", "chance", "mean", "mean of validation", "training prevalence", "shift")
    return Figures(columns, [_score_row(one) for one in found.scores])


def _score_row(one: ScoreSkew) -> list[str]:
    means = [f"{one.mean:.4f}", f"{one.validation:.4f}", "" if one.prevalence is None else f"{one.prevalence:.4f}"]
    return [one.skew.name, *_index(one.skew)[:2], *means, _shift(one.skew)]


def _index(one: Skew) -> list[str]:
    return [f"{one.psi:.3f}", _bounded(one.chance), f"{one.usual:.3f}"]


def _bounded(chance: float) -> str:
    return f"{chance:.3f}" if math.isfinite(chance) else "unknown"


def _pair(shares: tuple[float, float] | None) -> str:
    return "" if shares is None else f"{shares[0]:.1%}, {shares[1]:.1%}"


def _shift(one: Skew) -> str:
    if one.shift is None or one.shift_chance is None:
        return ""
    return f"{one.shift:+.2f} (± {one.shift_chance:.2f})" if math.isfinite(one.shift_chance) else f"{one.shift:+.2f}"


def _notes(sample: Sample, found: Comparison) -> Iterator[str]:
    """Sentences on the sample."""
    begin, end = sample.period
    yield f"sampled from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, {len(sample.files)} file(s)"
    if sample.of_others:
        yield f"{sample.of_others} file(s) with rows of other models are left out"
    if len(sample.shares) > 1:
        shares = ", ".join(f"{share:g}" for share in sample.shares)
        yield f"files were sampled at shares of {shares}, and their rows count alike; --since leaves older files out"
    if sample.dropped:
        why = "they could not be written, or came faster than they are collected"
        yield f"{sample.dropped} sampled row(s) were dropped: {why}"
    yield from sample.unreadable
    if silent := [one.name for one in found.features if not one.is_telling]:
        why = f"{found.rows} rows of {found.requests} requests are too few to tell a PSI of 0.1 from chance"
        yield f"{why}: {_listed(silent)}"


def _verdict(found: Comparison, limit: float) -> Iterator[str]:
    """Sentences on what is above the limit, and on what cannot be judged."""
    for one in found.above(limit):
        yield f"`{one.name}`: PSI {one.psi:.3f} is more than {limit:g} above {max(one.chance, one.usual):.3f}"
    if untold := [one.name for one in found.untold(limit)]:
        yield f"chance alone may reach {limit:g}: {_listed(untold)}; sample more rows"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(f"`{name}`" for name in names[:_MOST_NAMED]) + more


def _plain(sample: Sample, found: Comparison, notes: list[str]) -> dict[str, object]:
    """Everything, for JSON."""
    begin, end = sample.period
    return {
        "rows": found.rows,
        "requests": found.requests,
        "training_rows": found.training_rows,
        "begin": begin.isoformat(),
        "end": end.isoformat(),
        "files": len(sample.files),
        "files_of_other_models": sample.of_others,
        "dropped": sample.dropped,
        "features": [one.plain() for one in found.features],
        "scores": [
            one.skew.plain() | {"mean": one.mean, "validation": one.validation, "prevalence": one.prevalence}
            for one in found.scores
        ],
        "notes": notes,
    }
