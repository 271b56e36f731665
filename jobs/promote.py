"""Promotion of a version that passes the gate: `gradops promote configs/census.toml --prefer income=2,marital=1`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.console import REFUSED, AsJson, Config, Overrides, out, show
from jobs.tables import Figures

if TYPE_CHECKING:
    from pipeline.config.run import RunConfig
    from pipeline.data.prepared import Prepared
    from pipeline.registry.gate import Decision

_AtLeast = Annotated[
    list[str],
    typer.Option(
        help="Least validation AUC of a task, as wish=0.81; may be repeated. Among the versions that reach it, choose "
        "the one with the best mean AUC over the other tasks.",
        default_factory=list,
        metavar="TASK=AUC",
        show_default=False,
    ),
]


def main(
    config: Config,
    overrides: Overrides,
    at_least: _AtLeast,
    version: Annotated[int | None, typer.Option(help="Choose this version.", min=1, show_default=False)] = None,
    alias: Annotated[
        str | None, typer.Option(help="Choose the version that this alias points at.", show_default="balanced")
    ] = None,
    prefer: Annotated[
        str,
        typer.Option(
            help="Choose by the mean validation AUC with these task weights, as purchase=2,cart=1.",
            metavar="TASK=WEIGHT,...",
        ),
    ] = "",
    allow_signature_change: Annotated[
        bool,
        typer.Option("--allow-signature-change", help="Accept columns or tasks that differ from the champion's."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge the version, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Judge a registered version against the champion on held-out rows, and put it in service if it passes."""
    from jobs.preparing import prepared_with_bars
    from pipeline.registry.promotion import decide, promote
    from pipeline.tracking.connection import require_store
    from pipeline.training.resolve import load_config

    _check_one_way(version, alias, prefer, at_least)
    allowed = ["gate.allow_signature_change=true"] if allow_signature_change else []
    loaded = load_config(config, [*overrides, *allowed])
    prepared = prepared_with_bars(loaded)
    with require_store("once it is back the same command does the rest"):
        chosen = version or _chosen(loaded, prepared, alias, prefer, at_least)
        decision = (decide if dry_run else promote)(loaded, prepared, chosen)
    _show(decision, dry_run, as_json)
    if not decision.passed:
        raise typer.Exit(REFUSED)


def _check_one_way(version: int | None, alias: str | None, prefer: str, at_least: list[str]) -> None:
    from features.errors import InputError

    ways = {"--version": version, "--alias": alias, "--prefer or --at-least": prefer or at_least}
    if len(given := [way for way, value in ways.items() if value]) > 1:
        raise InputError(f"{' and '.join(given)} each choose a version; give one of them")


def _chosen(config: RunConfig, prepared: Prepared, alias: str | None, prefer: str, at_least: list[str]) -> int:
    from features.errors import InputError
    from pipeline.registry.model import RegisteredModel
    from pipeline.registry.preference import Preference

    if prefer or at_least:
        preference = Preference.parse(prefer, at_least, config.tasks)
        return preference.choose(RegisteredModel(config.name).versions(), prepared.fingerprint)
    aliases = RegisteredModel(config.name).aliases
    wanted = alias or "balanced"
    if wanted not in aliases:
        known = ", ".join(f"`{name}`" for name in aliases) or "none"
        raise InputError(f"`{config.name}` has no alias `{wanted}`; it has {known}. `--version` takes any version")
    return aliases[wanted]


def _show(decision: Decision, dry_run: bool, as_json: bool) -> None:
    show(_table(decision), {**asdict(decision), "passed": decision.passed, "dry_run": dry_run}, as_json)
    if as_json:
        return
    name, version, champion = decision.model, decision.candidate, decision.champion
    if not decision.passed:
        stays = "nothing serves" if champion is None else f"version {champion} stays the champion"
        words = f"refused: {stays} of {name}"
    elif champion == version:
        words = f"nothing to do: version {version} is the champion of {name} already"
    elif dry_run:
        words = f"passed: without --dry-run version {version} would be the champion of {name}"
    else:
        before = "" if champion is None else f"; version {champion} is `previous`"
        words = f"passed: version {version} is the champion of {name}{before}"
    out.print(words, highlight=False, markup=False, soft_wrap=True)


def _table(decision: Decision) -> Figures:
    against = "no champion" if decision.champion is None else f"version {decision.champion}"
    title = f"{decision.model} version {decision.candidate} after {against}, {decision.rows} held-out rows"
    rows = [[check.name, "yes" if check.passed else "NO", check.found, check.rule] for check in decision.checks]
    return Figures(["check", "", "found", "rule"], rows, title, are_texts=True)
