"""The choice of a registered trade-off to serve: by a weight for each task, or by an AUC that a task has to reach."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from features.errors import InputError
from features.nearest import nearest
from pipeline.registry.model import DATA, VAL_AUC, Version


@dataclass(frozen=True)
class Preference:
    """A preference among trade-offs, by the tasks' validation AUCs.

    Args:
        tasks: The config's tasks.
        weights: Task to weight; tasks that are left out have weight 0. Empty: the same weight for every task without a
            floor.
        floors: Task to its lowest acceptable AUC.
    """

    tasks: Sequence[str]
    weights: Mapping[str, float]
    floors: Mapping[str, float]

    @classmethod
    def parse(cls, prefer: str, at_least: Sequence[str], tasks: Sequence[str]) -> Preference:
        """A preference from texts like ``purchase=2,cart=1``.

        Args:
            prefer: The weights.
            at_least: The floors, in one text or in several.
            tasks: The config's tasks.

        Raises:
            InputError: If a part is not a task and a number, or no weight is above 0. The message lists all problems.
        """
        weights, problems = _numbers("--prefer", prefer, tasks)
        floors, others = _numbers("--at-least", ",".join(at_least), tasks)
        problems += others + [
            f"--prefer {task}={weight:g}: a weight is 0 or more" for task, weight in weights.items() if weight < 0
        ]
        problems += [f"--at-least {t}={auc:g}: an AUC is from 0 to 1" for t, auc in floors.items() if not 0 <= auc <= 1]
        if prefer and not problems and not any(weights.values()):
            problems.append(f"--prefer {prefer}: some task needs a weight above 0")
        if problems:
            raise InputError.of("the preference cannot be read", problems)
        return cls(tasks, weights, floors)

    def choose(self, versions: Sequence[Version], data: str) -> int:
        """The best version by this preference; among equally good versions the newest.

        Args:
            versions: The versions to choose from.
            data: Fingerprint of the data on which AUCs are compared.

        Raises:
            InputError: If no version has AUCs on this data, or none of these reaches the floors.
        """
        found = {v.number: _aucs(v) for v in versions if v.tags.get(DATA) == data}
        known = {number: auc for number, auc in found.items() if auc.keys() == {*self.tasks}}
        if not known:
            fix = "`gradops compare` or `gradops search` registers some, `--version` names one"
            what = f"predicts the config's tasks and has AUCs on its data, {data}"
            raise InputError(f"none of {len(versions)} version(s) {what}; {fix}")
        reaching = [n for n, auc in known.items() if all(auc[t] >= floor for t, floor in self.floors.items())]
        if not reaching:
            raise InputError.of("no version reaches the AUCs of --at-least", [*self._best(known)])
        return max(reaching, key=lambda n: (self._weighted_auc(known[n]), n))

    def _weighted_auc(self, auc: Mapping[str, float]) -> float:
        rest = [task for task in self.tasks if task not in self.floors] or self.tasks
        weights = self.weights or dict.fromkeys(rest, 1.0)
        return sum(weight * auc[task] for task, weight in weights.items()) / sum(weights.values())

    def _best(self, known: Mapping[int, Mapping[str, float]]) -> list[str]:
        lines = []
        for task, floor in self.floors.items():
            best = max(known, key=lambda n: known[n][task])
            lines.append(f"{task}={floor:g}: the highest is {known[best][task]:.4f}, of version {best}")
        return lines


def _aucs(version: Version) -> dict[str, float]:
    named = {k.removeprefix(VAL_AUC): float(v) for k, v in version.tags.items() if k.startswith(VAL_AUC)}
    return {task: auc for task, auc in named.items() if not math.isnan(auc)}


def _numbers(option: str, text: str, tasks: Sequence[str]) -> tuple[dict[str, float], list[str]]:
    """Task to number from a text like ``purchase=2,cart=1``, and the text's problems."""
    numbers: dict[str, float] = {}
    problems = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        task, _, number = (piece.strip() for piece in part.partition("="))
        value = _number(number)
        if task not in tasks:
            near = nearest(task, tasks)
            hint = f"did you mean `{near}`?" if near else f"the tasks are {', '.join(tasks)}"
            problems.append(f"{option} {part}: there is no task `{task}`; {hint}")
        elif value is None:
            problems.append(f"{option} {part}: write task=number, as {task}=1")
        elif task in numbers:
            problems.append(f"{option} names `{task}` twice")
        else:
            numbers[task] = value
    return numbers, problems


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
