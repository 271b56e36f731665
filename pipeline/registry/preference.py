"""Which registered trade-off to serve: by how much each task counts, or by what it has to reach."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from features.errors import InputError
from pipeline.registry.model import Version
from pipeline.registry.register import DATA, VAL_AUC


@dataclass(frozen=True)
class Preference:
    """What is wanted of the tasks' validation AUCs.

    Args:
        tasks: What there is to prefer.
        weights: How much a task's counts; a task that is not named does not. Empty: all count alike, but for those that
            have something to reach.
        floors: What a task's has to reach.
    """

    tasks: Sequence[str]
    weights: Mapping[str, float]
    floors: Mapping[str, float]

    @classmethod
    def of(cls, prefer: str, at_least: Sequence[str], tasks: Sequence[str]) -> Preference:
        """From text as ``purchase=2,cart=1``.

        Args:
            prefer: The weights.
            at_least: What is to be reached, in one text or in several.
            tasks: What may be named.

        Raises:
            InputError: If something is no number of a task, or no weight is above 0. All problems are listed.
        """
        weights, problems = _numbers("--prefer", prefer, tasks)
        floors, others = _numbers("--at-least", ",".join(at_least), tasks)
        problems += others + [
            f"--prefer {task}={weight:g}: a weight is 0 or more" for task, weight in weights.items() if weight < 0
        ]
        problems += [f"--at-least {t}={auc:g}: an AUC is from 0 to 1" for t, auc in floors.items() if not 0 <= auc <= 1]
        if prefer and not problems and not any(weights.values()):
            problems.append(f"--prefer {prefer}: some task has to count")
        if problems:
            raise InputError.of("what is preferred cannot be told", problems)
        return cls(tasks, weights, floors)

    def choose(self, versions: Sequence[Version], data: str) -> int:
        """The version that is best for it; of equals the newest.

        Args:
            versions: What there is.
            data: Fingerprint of the data on which AUCs are compared.

        Raises:
            InputError: If there is no version of this data, or none reaches what it has to.
        """
        found = {v.number: _aucs(v) for v in versions if v.tags.get(DATA) == data}
        known = {number: auc for number, auc in found.items() if auc.keys() == {*self.tasks}}
        if not known:
            fix = "`gradops compare` or `gradops search` registers some, `--version` names one"
            what = f"predicts the config's tasks and has AUCs on its data, {data}"
            raise InputError(f"none of {len(versions)} version(s) {what}; {fix}")
        reaching = [n for n, auc in known.items() if all(auc[t] >= floor for t, floor in self.floors.items())]
        if not reaching:
            raise InputError.of("no version reaches what --at-least asks for", [*self._best(known)])
        return max(reaching, key=lambda n: (self._worth(known[n]), n))

    def _worth(self, auc: Mapping[str, float]) -> float:
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
    """``purchase=2,cart=1`` as numbers of tasks, and what is wrong with it."""
    numbers: dict[str, float] = {}
    problems = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        task, _, number = (piece.strip() for piece in part.partition("="))
        value = _number(number)
        if task not in tasks:
            near = get_close_matches(task, tasks, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"the tasks are {', '.join(tasks)}"
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
