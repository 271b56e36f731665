"""Generation of raw data: `gradops synth clicklog --rows 5000000`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import fields
from datetime import date, datetime, time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from rich.progress import Progress

from features.errors import InputError
from jobs.console import AsJson, err, show
from jobs.tables import Figures
from pipeline.sources.source import GeneratedSource, sources_of

GENERATED = sources_of(GeneratedSource)
Generator = StrEnum("Generator", list(GENERATED))  # type: ignore[misc]  # members known at run time only


def main(
    context: typer.Context,
    generator: Annotated[Generator, typer.Argument(help="Name of the data set.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the data; the true probabilities go next to it.", show_default="data/GENERATOR"),
    ] = None,
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Generate data whose labels have known probabilities; unfinished data is completed, finished data is kept."""
    source, folder = GENERATED[generator], out or Path("data") / generator
    given = {key: value for key, value in options.items() if _is_given(context, key)}
    made_from = source.options(**_own(generator, source, given))
    with Progress(console=err, disable=not err.is_terminal) as progress:
        bar = progress.add_task("rows", total=made_from.rows)
        summary = source.generate(made_from, folder, lambda made: progress.advance(bar, made))
    show(_table(summary, folder), summary | source.folders(folder), as_json)


def _is_given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name != "DEFAULT"


def _own(name: str, source: GeneratedSource, given: dict[str, Any]) -> dict[str, Any]:
    """The given options, as the source takes them.

    Raises:
        InputError: If an option belongs to another data set.
    """
    own = {field.name for field in fields(source.options)}
    if foreign := [f"`--{key.replace('_', '-')}` is no option of `{name}`" for key in given if key not in own]:
        raise InputError.of(f"`gradops synth {name}` has other options", foreign)
    return {key: value.date() if isinstance(value, datetime) else value for key, value in given.items()}


def _options() -> Iterator[inspect.Parameter]:
    """The options of all generated data sets; an option of several is listed once, with the help of the first."""
    found: dict[str, list[tuple[str, GeneratedSource, Any]]] = {}
    for name, source in GENERATED.items():
        for field in fields(source.options):
            found.setdefault(field.name, []).append((name, source, field.default))
    for key, owners in found.items():
        _, first, default = owners[0]
        kind = get_type_hints(first.options)[key]
        option = typer.Option(help=first.help()[key], formats=["%Y-%m-%d"] if kind is date else None)
        if len({value for *_, value in owners}) > 1:
            default, option.show_default = None, ", ".join(f"{name} {value}" for name, _, value in owners)
        if kind is date:
            option.show_default = option.show_default if default is None else str(default)
            kind, default = datetime, default and datetime.combine(default, time())
        shown = Annotated[kind, option]  # type: ignore[valid-type]  # a type known at run time only
        yield inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=shown)


def _declare_options() -> None:
    """Replace `options` in the signature of `main`, which typer reads, by the options of all generated data sets."""
    signature = inspect.signature(main, eval_str=True)
    *own, _ = signature.parameters.values()
    parameters = [*(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own), *_options()]
    main.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    main.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # a function may have it


_declare_options()


def _table(summary: dict[str, Any], out: Path) -> Figures:
    title = f"{out}: {summary['rows']} clicks of {summary['days']} day(s)"
    ceilings = summary.get("ceiling_auc", {})
    rows = []
    for task, rate in summary["positive_rates"].items():
        best = ["one class only" if ceilings[task] is None else f"{ceilings[task]:.4f}"] if ceilings else []
        rows.append([task, f"{rate:.2%}", *best])
    return Figures(["task", "positive", *(["best reachable AUC"] if ceilings else [])], rows, title)
