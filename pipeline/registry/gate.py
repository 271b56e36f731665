"""The gate: the checks that a model has to pass before it becomes the champion, and the decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor

import polars as pl

from pipeline.config.gate import GateConfig
from pipeline.config.split import moment_of
from pipeline.data.prepared import Prepared
from pipeline.evaluation.bootstrap import Paired, paired
from pipeline.evaluation.intervals import Array
from pipeline.registry.heldout import HeldOut


@dataclass(frozen=True)
class Check:
    """One check of a candidate.

    Args:
        name: Its name.
        passed: Whether the candidate passed it.
        found: The finding, in words.
        rule: The rule that the finding is compared with, in words.
        limits: Keys of ``[gate]`` to values with which it would pass; empty if it passed, or no key decides.
    """

    name: str
    passed: bool
    found: str
    rule: str
    limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """Whether a version may serve, and why.

    Args:
        model: The registered model.
        candidate: The version that was judged.
        champion: The version in service at that time; None if there was none.
        checks: Every check that was made.
        data: Fingerprint of the data whose test rows the candidate was judged on.
        rows: Number of test rows that were scored.
        at: The time of the decision, in UTC.
    """

    model: str
    candidate: int
    champion: int | None
    checks: tuple[Check, ...]
    data: str
    rows: int
    at: str

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def why(self) -> str:
        """The reasons for a refusal in a sentence, or "every check passed"."""
        refusing = [f"{check.name}: {check.found} ({check.rule})" for check in self.checks if not check.passed]
        return "; ".join(refusing) or "every check passed"


@dataclass(frozen=True)
class Contender:
    """A version as the gate sees it.

    Args:
        number: The version's number.
        tasks: The tasks that it predicts.
        inputs: Column to what a row has to give there.
        split: The split of the data that it was trained on; None if unknown.
        data: Fingerprint of that data; None if unknown.
    """

    number: int
    tasks: tuple[str, ...]
    inputs: Mapping[str, str]
    split: Mapping[str, object] | None
    data: str | None


def judge(
    candidate: Contender, champion: Contender | None, rows: HeldOut, prepared: Prepared, config: GateConfig
) -> tuple[Check, ...]:
    """Check a candidate by the rules and against the champion.

    Args:
        candidate: The version to judge.
        champion: The version in service. If there is none, or it cannot score the rows, the candidate has to pass the
            rules and to reach an AUC above 0.5.
        rows: Held-out rows, scored by the candidate, then by the champion.
        prepared: The data whose test rows they are.
        config: The rules.
    """
    checks = [_unseen(candidate, prepared)]
    if champion is not None:
        checks += [_same_inputs(candidate, champion, config), _same_tasks(candidate, champion, config)]
    checks += [*_enough(rows, candidate.tasks, config), _scored(rows)]
    if champion is not None and 1 in rows.unscored:
        checks.append(unusable_champion(rows.unscored[1]))
        champion = None
    if 0 not in rows.unscored:
        checks += [*_calibrated(rows, candidate.tasks, config), *_accurate(rows, candidate.tasks, champion, config)]
    return tuple(checks)


def relaxed(checks: Sequence[Check], config: GateConfig) -> list[str] | None:
    """The narrowest changes of ``[gate]`` with which checks pass, as ``gate.key=value``.

    Returns:
        The changes; None if some check fails whatever the keys say.
    """
    failed = [check for check in checks if not check.passed]
    if not all(check.limits for check in failed):
        return None
    fewest = [f"gate.{key}={int(min(values))}" for key, values in _limits(failed).items() if key != "calibration"]
    ratios = _limits(failed).get("calibration", [])
    low, high = min([*ratios, config.calibration[0]]), max([*ratios, config.calibration[1]])
    # Rounded outwards, so that the check passes.
    return fewest + [f"gate.calibration=[{floor(100 * low) / 100:g}, {ceil(100 * high) / 100:g}]"] * bool(ratios)


def _limits(checks: Sequence[Check]) -> dict[str, list[float]]:
    keys = dict.fromkeys(key for check in checks for key in check.limits)
    return {key: [check.limits[key] for check in checks if key in check.limits] for key in keys}


def readable_files(problem: str = "") -> Check:
    """Check that a candidate's files are a sound model; every other check needs this one to pass."""
    rule = "the files are as they were packaged, every weight a finite number"
    return Check("weights", not problem, _line(problem) or "all of them", rule)


def unread_rows(problem: str) -> Check:
    """Record that the held-out rows cannot be read, so that nothing is judged."""
    return Check("held out", False, _line(problem), "the raw rows of the test split can be read")


def unusable_champion(problem: str) -> Check:
    """Record that the champion gives no scores, so that the candidate is not compared with it; always passed."""
    rule = "the version in service gives no scores: the candidate is not compared with it"
    return Check("champion", True, _line(problem), rule)


def _line(text: str) -> str:
    """A message of several lines as one line, for tags and tables."""
    return " ".join(text.split())


def _unseen(candidate: Contender, prepared: Prepared) -> Check:
    """Check that the candidate never saw the rows: test rows of its own data, or rows outside of its training split."""
    rule = "the candidate was neither trained nor chosen on the held-out rows"
    if candidate.data == prepared.fingerprint:
        return Check("held out", True, "the test rows of its own data", rule)
    theirs, ours = candidate.split, prepared.split
    if theirs is None:
        return Check("held out", False, f"it is not known how its data {candidate.data} was split", rule)
    if ours["time"] is not None and theirs["time"] == ours["time"]:
        last, first = (moment_of(str(split["test"])) for split in (theirs, ours))
        found = f"trained and chosen on rows before {last}; held-out rows begin at {first}"
        return Check("held out", last <= first, found, rule)
    same = dict(theirs) == dict(ours)
    found = "another day's data, split by the same rule" if same else f"its data {candidate.data} had another split"
    return Check("held out", same, found, rule)


def _same_inputs(candidate: Contender, champion: Contender, config: GateConfig) -> Check:
    ours, theirs = candidate.inputs, champion.inputs
    changes = [f"+{column}" for column in ours if column not in theirs]
    changes += [f"-{column}" for column in theirs if column not in ours]
    changes += [f"{c}: {theirs[c]} is now {kind}" for c, kind in ours.items() if c in theirs and theirs[c] != kind]
    return _unchanged("signature", changes, f"all {len(ours)} columns as version {champion.number} has them", config)


def _same_tasks(candidate: Contender, champion: Contender, config: GateConfig) -> Check:
    changes = [f"+{task}" for task in candidate.tasks if task not in champion.tasks]
    changes += [f"-{task}" for task in champion.tasks if task not in candidate.tasks]
    return _unchanged("tasks", changes, ", ".join(candidate.tasks), config)


def _unchanged(name: str, changes: Sequence[str], same: str, config: GateConfig) -> Check:
    allowed = config.allow_signature_change
    rule = "a change is allowed" if allowed else "as the champion's, or allow_signature_change"
    return Check(name, allowed or not changes, ", ".join(changes) or same, rule)


def _enough(rows: HeldOut, tasks: Sequence[str], config: GateConfig) -> Iterator[Check]:
    for task in tasks:
        label = rows.labels.get_column(task)
        positives, negatives = int((label == 1).sum()), int((label == 0).sum())
        least = {"min_positives": config.min_positives, "min_negatives": config.min_negatives}
        counts = {"min_positives": positives, "min_negatives": negatives}
        lacking = {key: count for key, count in counts.items() if count < least[key]}
        rule = f"at least {config.min_positives} positives and {config.min_negatives} negatives"
        found = f"{positives} positives, {negatives} negatives"
        # Without any positive or negative there is no AUC to judge by.
        yield Check(f"labels of {task}", not lacking, found, rule, lacking if all(lacking.values()) else {})


def _scored(rows: HeldOut) -> Check:
    problem = _line(rows.unscored.get(0, ""))
    return Check("scores", not problem, problem or f"{len(rows)} rows, all of them", "every row gets a score")


def _calibrated(rows: HeldOut, tasks: Sequence[str], config: GateConfig) -> Iterator[Check]:
    low, high = config.calibration
    for task in tasks:
        label = rows.labels.get_column(task)
        positives = int((label == 1).sum())
        predicted = float(rows.scores[0].get_column(task).filter(label.is_not_null()).cast(pl.Float64).sum())
        ratio = predicted / positives if positives else float("nan")
        rule = f"predicted over actual positives from {low:g} to {high:g}"
        passed = low <= ratio <= high
        limits = {"calibration": ratio} if positives and not passed else {}
        yield Check(f"calibration of {task}", passed, f"{ratio:.3f}", rule, limits)


def _accurate(rows: HeldOut, tasks: Sequence[str], champion: Contender | None, config: GateConfig) -> Iterator[Check]:
    confident = f"with {config.level:.0%} confidence over all tasks"
    result = _compared(rows, tasks, config, alone=champion is None)
    for task, auc, other, lower in zip(tasks, result.auc_T, result.other_T, result.lower_T, strict=True):
        if champion is None or task not in champion.tasks:
            found, rule = f"{auc:.4f}, at least {0.5 + lower:.4f}", f"above 0.5 {confident}"
            yield Check(f"AUC of {task}", bool(lower > 0), found, rule)
        else:
            found = f"{auc:.4f} after {other:.4f}: {auc - other:+.4f}, at least {lower:+.4f}"
            rule = f"no more than {config.margin:g} below version {champion.number} {confident}"
            yield Check(f"AUC of {task}", bool(lower > -config.margin), found, rule)


def _compared(rows: HeldOut, tasks: Sequence[str], config: GateConfig, *, alone: bool) -> Paired:
    labels_NT = rows.labels.select(pl.col(tasks).cast(pl.Float32).fill_null(float("nan"))).to_numpy()
    scores_NT, *others = (_columns(scores, tasks) for scores in rows.scores[: 1 if alone else 2])
    return paired(
        labels_NT,
        scores_NT,
        others[0] if others else None,
        rows.unit_N,
        resamples=config.resamples,
        level=config.level,
        seed=config.seed,
    )


def _columns(scores: pl.DataFrame, tasks: Sequence[str]) -> Array:
    """A model's scores of tasks; for a task that it does not predict, equal scores, whose AUC is 0.5."""
    unknown = [pl.lit(0.5, pl.Float32).alias(task) for task in tasks if task not in scores.columns]
    return scores.with_columns(unknown).select(tasks).to_numpy()
