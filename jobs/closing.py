"""The last lines of `compare` and `search`: the models in the registry, and sentences that a reader should know."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.console import out

if TYPE_CHECKING:
    from pipeline.config.gate import GateConfig
    from pipeline.registry.register import Registered


def closing_lines(
    registered: Registered, verdicts: Sequence[str], gate: GateConfig, config: Path, overrides: Sequence[str]
) -> list[str]:
    """Sentences on a comparison or a search, the most important one last; empty if there is nothing to say.

    Args:
        registered: Its models in the registry.
        verdicts: Sentences on its figures.
        gate: The gate's rules.
        config: The config's file, as the user gave it.
        overrides: The overrides that the user gave.
    """
    lines = [*verdicts, *registered.verdicts]
    if registered.verdicts:
        lines.append(_by_hand(registered, gate, config, overrides))
    return lines


def show_registered(registered: Registered) -> None:
    """Print the aliases of the registered model."""
    versions = ", ".join(f"{alias} → version {version}" for alias, version in registered.aliases.items())
    out.print(f"\nregistered model [bold]{registered.model}[/]: {versions}", highlight=False, soft_wrap=True)
    champion = registered.aliases.get("champion")
    if champion is not None and champion != registered.aliases["balanced"]:
        out.print("the champion is unchanged; the other aliases point to the models found now", highlight=False)


def show_lines(lines: Sequence[str]) -> None:
    """Print sentences, each in a line of its own, after an empty line."""
    if lines:
        out.print()
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _by_hand(registered: Registered, gate: GateConfig, config: Path, overrides: Sequence[str]) -> str:
    """The command that puts the version in service that the gate has refused."""
    from pipeline.registry.gate import relaxed

    assert registered.first is not None, "without a decision there is no verdict"
    changes = relaxed(registered.first.checks, gate)
    version = str(registered.first.candidate)
    changed = {change.partition("=")[0] for change in changes or []}
    kept = [override for override in overrides if override.partition("=")[0] not in changed]
    options = [part for override in [*kept, *(changes or [])] for part in ("--set", override)]
    command = shlex.join(["gradops", "promote", str(config), "--version", version, *options])
    if changes is None:
        return f"no key of [gate] lets it pass; once that is mended, judge it again: {command}"
    return f"to serve version {version} all the same: {command}"
