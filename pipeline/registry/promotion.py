"""Promotion moves the alias `champion` to a version that passes the gate; rollback moves it back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.registry.aliases import PATIENCE, AliasMove, finish_moves, swap_aliases
from pipeline.registry.gate import (
    Check,
    Contender,
    Decision,
    judge,
    readable_files,
    unread_rows,
    unusable_champion,
)
from pipeline.registry.heldout import held_out
from pipeline.registry.model import CHAMPION, DATA, PREVIOUS, SPLIT, RegisteredModel
from pipeline.serving.scorer import Scorer


def promote(config: RunConfig, prepared: Prepared, version: int, extra: Sequence[Check] = ()) -> Decision:
    """Put a version in service if it passes the gate; the version that served becomes ``previous``.

    The decision is recorded either way: as tags of the version, and with its evidence as JSON and Markdown among the
    files of the run that trained it.

    Args:
        config: The config; its name is the registered model's, and its section ``[gate]`` has the rules.
        prepared: The data whose test rows the version is judged on.
        version: The candidate.
        extra: Checks that were made elsewhere.

    Raises:
        InputError: If there is no such version, its files or the champion's cannot be fetched, or the rows cannot be
            read. Files that can be fetched but are no sound model raise no error: the gate refuses them.
    """
    model = RegisteredModel(config.name)
    model.version(version)
    finish_moves(model)
    while True:
        decision = decide(config, prepared, version, extra)
        if decision.champion == version:
            return decision
        record_decision(model, decision)
        if not decision.passed or swap_aliases(model, _promotion(decision)):
            return decision


def promote_first(config: RunConfig, prepared: Prepared, version: int) -> Decision | None:
    """Put a version in service if none serves yet and it passes the gate. Arguments as in :func:`promote`.

    Returns:
        The recorded decision; None if a version serves already.
    """
    model = RegisteredModel(config.name)
    if CHAMPION in model.aliases:
        return None
    try:
        decision = decide(config, prepared, version)
    except InputError as error:  # what was trained is registered all the same
        decision = _decision(config, prepared, version, None, (unread_rows(str(error)),), 0)
    if decision.champion is not None:
        return None
    record_decision(model, decision)
    if decision.passed and not swap_aliases(model, _promotion(decision)):
        return None
    return decision


def decide(config: RunConfig, prepared: Prepared, version: int, extra: Sequence[Check] = ()) -> Decision:
    """Judge a version against the present champion, and change nothing. Arguments and errors as in :func:`promote`."""
    model = RegisteredModel(config.name)
    champion = model.aliases.get(CHAMPION)
    if champion == version:
        served = Check("champion", True, f"version {version} is in service", "a version is judged before it serves")
        return _decision(config, prepared, version, champion, (served,), 0)
    checks, rows = _judged(config, prepared, model, version, champion)
    return _decision(config, prepared, version, champion, (*checks, *extra), rows)


def _decision(
    config: RunConfig, prepared: Prepared, version: int, champion: int | None, checks: tuple[Check, ...], rows: int
) -> Decision:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Decision(config.name, version, champion, checks, prepared.fingerprint, rows, now)


@dataclass(frozen=True)
class Restored:
    """A rollback.

    Args:
        model: The registered model.
        champion: The version that serves again.
        previous: The version that served until now.
        at: The time, in UTC.
        reason: The reason, in the user's words.
    """

    model: str
    champion: int
    previous: int
    at: str
    reason: str


def rollback(name: str, reason: str, patience: float = PATIENCE) -> Restored:
    """Put the version that served before back in service, at once, without judging it.

    Args:
        name: The registered model.
        reason: The reason, kept in the tags of both versions.
        patience: As in :func:`pipeline.registry.aliases.finish_moves`.

    Raises:
        InputError: If no version served before, its files are gone, or another command changed the champion meanwhile.
    """
    model = RegisteredModel(name)
    finish_moves(model, patience)
    aliases = model.aliases
    champion, previous = aliases.get(CHAMPION), aliases.get(PREVIOUS)
    if champion is None or previous is None or champion == previous:
        fix = f"give a version by `gradops promote --version`; `{name}` has {len(model.versions())}"
        raise InputError(f"`{name}` has no version that served before; {fix}")
    model.check_files(previous)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    tags = {
        str(champion): {"rolled_back": at, "rolled_back.why": reason},
        str(previous): {"restored": at, "restored.why": reason},
    }
    if not swap_aliases(model, AliasMove(previous, champion, tags), patience):
        raise InputError(
            f"another command has just moved the champion of `{name}`; see which version serves, then try again"
        )
    return Restored(name, previous, champion, at, reason)


def record_decision(model: RegisteredModel, decision: Decision) -> None:
    """Record a decision as tags of the version, and its evidence among the files of the version's run."""
    against = "none" if decision.champion is None else str(decision.champion)
    tags = {"gate": "passed" if decision.passed else "refused", "gate.why": decision.why, "gate.at": decision.at}
    tags |= {"gate.champion": against, "gate.data": decision.data, "gate.rows": str(decision.rows)}
    tags["gate.checks"] = "; ".join(f"{check.name}: {check.found}" for check in decision.checks)
    if run_id := model.version(decision.candidate).run_id:
        stem = f"gate/version-{decision.candidate}-after-{against}-{decision.data}"
        evidence = json.dumps({**asdict(decision), "passed": decision.passed}, indent=1)
        model.client.log_text(run_id, evidence, f"{stem}.json")
        model.client.log_text(run_id, decision_markdown(decision), f"{stem}.md")
        tags["gate.evidence"] = f"runs:/{run_id}/{stem}.json"
    model.tag(decision.candidate, tags)


def decision_markdown(decision: Decision) -> str:
    """A decision as a page: a heading, the circumstances and a table of checks."""
    against = "no champion" if decision.champion is None else f"version {decision.champion}"
    head = f"# {decision.model} version {decision.candidate}: {'passed' if decision.passed else 'refused'}"
    where = f"{decision.at}, against {against}, on {decision.rows} test rows of data {decision.data}."
    table = ["| check | | found | rule |", "|---|---|---|---|"]
    table += [f"| {c.name} | {'yes' if c.passed else '**no**'} | {c.found} | {c.rule} |" for c in decision.checks]
    return "\n\n".join([head, where, "\n".join(table)]) + "\n"


def _promotion(decision: Decision) -> AliasMove:
    tags = {str(decision.candidate): {"promoted": decision.at}}
    if decision.champion is not None:
        tags[str(decision.champion)] = {"replaced": decision.at, "replaced.by": str(decision.candidate)}
    return AliasMove(decision.candidate, decision.champion, tags)


def _judged(
    config: RunConfig, prepared: Prepared, model: RegisteredModel, version: int, champion: int | None
) -> tuple[list[Check], int]:
    """The checks of a version, and the number of rows that it scored."""
    scorer, rival = _scorer(model, version), None if champion is None else _scorer(model, champion)
    if isinstance(scorer, InputError):
        return [readable_files(str(scorer))], 0
    candidate = _contender(model, version, scorer)
    _check_tasks(candidate, config)
    checks, scorers, serving = [readable_files()], [scorer], None
    if isinstance(rival, InputError):
        checks.append(unusable_champion(str(rival)))
    elif champion is not None and rival is not None:
        scorers.append(rival)
        serving = _contender(model, champion, rival)
    rows = held_out(config, prepared, scorers, config.gate.rows)
    return [*checks, *judge(candidate, serving, rows, prepared, config.gate)], len(rows)


def _scorer(model: RegisteredModel, number: int) -> Scorer | InputError:
    """A version's model, or the error that tells why its files are no sound model.

    Raises:
        InputError: If its files cannot be fetched.
    """
    model.check_files(number)  # without this, a missing folder would read as an empty one
    try:
        return model.scorer(number)
    except InputError as error:
        return error


def _contender(model: RegisteredModel, number: int, scorer: Scorer) -> Contender:
    tags = model.version(number).tags
    split = json.loads(tags[SPLIT]) if SPLIT in tags else None
    return Contender(number, scorer.tasks, scorer.inputs, split, tags.get(DATA))


def _check_tasks(candidate: Contender, config: RunConfig) -> None:
    if unknown := [task for task in candidate.tasks if task not in config.spec.tasks]:
        rule = f"the config declares {', '.join(config.spec.tasks)}; a task without labels cannot be judged"
        raise InputError(f"version {candidate.number} predicts {', '.join(unknown)}: {rule}")
