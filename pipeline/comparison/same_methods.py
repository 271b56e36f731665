"""Rows of a comparison that are one method under several names."""

from __future__ import annotations

from collections.abc import Iterable

from gradops.equivalence import same_updates
from gradops.methods import parse
from pipeline.runs.plan import System


def same_methods(systems: Iterable[str], tasks: int) -> list[str]:
    """A sentence for each set of methods that give equal updates for a number of tasks.

    Args:
        systems: Names of systems; baselines that are no methods are passed over.
        tasks: T.
    """
    groups: list[list[str]] = []
    for name in (system for system in systems if System.named(system).kind == "method"):
        for group in groups:
            if same_updates(parse(group[0]), parse(name), tasks):
                group.append(name)
                break
        else:
            groups.append([name])
    sets = [" and ".join(f"`{name}`" for name in group) for group in groups if len(group) > 1]
    number = "1 task" if tasks == 1 else f"{tasks} tasks"
    return [f"{names} are one method for {number}: their rows differ by rounding only." for names in sets]
