"""A config drafted from a log's own files: `gradops init logs --label purchase --label cart`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.console import AsJson, err, show

if TYPE_CHECKING:
    from pipeline.profiling.draft import Draft
    from pipeline.profiling.questions import Asker

_MOST_SHOWN = 20  # guesses
_Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        help='An action to predict: a column, or "NAME=SQL" as "liked=rating >= 4"; may be repeated.',
        metavar="COLUMN",
        show_default="asked for",
    ),
]
_Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", help="A column that may not be a feature.", metavar="COLUMN", show_default=False),
]
_Keep = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        help="A column that is known before a row's event, though it is named like an outcome.",
        metavar="COLUMN",
        show_default=False,
    ),
]


def main(
    data: Annotated[str, typer.Argument(help="Parquet file, folder or glob.", show_default=False)],
    label: _Labels = None,
    time: Annotated[
        str | None, typer.Option(help="Column with the time of a row's event.", show_default="found by name")
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Column of the groups of GAUC.", show_default="users, if they have several rows")
    ] = None,
    exclude: _Exclude = None,
    keep: _Keep = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the experiment and of the model.", show_default="that of the data")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="TOML file to write.", show_default="NAME.toml")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take the best guess.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a commented config for a log: features, tasks and split, each choice with its evidence."""
    _refuse_existing(out)
    err.print(f"reading {data}", highlight=False, markup=False, soft_wrap=True)
    from features.errors import InputError  # the rest takes a moment to import
    from jobs.steps import StepBars
    from pipeline.files.atomic import atomic
    from pipeline.profiling.drafting import draft
    from pipeline.profiling.rendering import rendered
    from pipeline.profiling.wishes import Wishes

    wishes = Wishes(name, label or (), time, group, exclude or (), keep or ())
    drafted = draft(data, wishes, _asker(yes=yes), StepBars())
    target = out or Path(f"{drafted.name}.toml")
    _refuse_existing(target)
    with atomic(target) as path:
        path.write_text(rendered(drafted, _command()), encoding="utf-8")
    try:
        _check(target)
    except InputError:
        target.unlink()
        raise
    show(_summary(drafted, target), _data(drafted, target), as_json)


def _asker(*, yes: bool) -> Asker:
    from jobs.questions import TerminalAsker
    from pipeline.profiling.questions import Careful, Guesses

    if yes:
        return Guesses()
    return TerminalAsker() if sys.stdin.isatty() and err.is_terminal else Careful()


def _refuse_existing(target: Path | None) -> None:
    from features.errors import InputError

    if target is not None and target.exists():
        raise InputError(f"{target} exists and is not overwritten; remove it, or name another file with `--out`")


def _command() -> str:
    """The command as it was given, for the config's first line."""
    return shlex.join(["gradops", *sys.argv[1:]])


def _check(target: Path) -> None:
    """Read the config as every command does."""
    from pipeline.config.toml import read_config

    read_config(target)


def _summary(drafted: Draft, target: Path) -> str:
    counts = (
        f"{len(drafted.labels)} task(s), {len(drafted.features)} feature(s), {len(drafted.excluded)} column(s) left out"
    )
    lines = [f"{target}: {counts}", *(f"task {one.name}: {one.evidence}" for one in drafted.labels)]
    lines.append(f"split: {drafted.split.evidence}")
    lines += [f"look at: {text}" for text in drafted.to_look_at[:_MOST_SHOWN]]
    if (left := len(drafted.to_look_at) - _MOST_SHOWN) > 0:
        lines.append(f"look at: {left} more guesses in the first lines of {target}")
    return "\n".join([*lines, f"next: gradops prepare {shlex.quote(str(target))}"])


def _data(drafted: Draft, target: Path) -> dict[str, object]:
    left_out: Sequence[dict[str, str]] = [{"column": one.column, "reason": one.reason} for one in drafted.excluded]
    features = {name: drafted.keys_of(name) | {"evidence": one.evidence} for name, one in drafted.features.items()}
    found = {"file": target, "rows": drafted.log.rows, "tasks": {one.name: one.positive for one in drafted.labels}}
    return found | {"features": features, "excluded": left_out, "look_at": drafted.to_look_at}
