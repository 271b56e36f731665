"""Which version serves: `champion` moves to one that passes the gate, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.registry.aliases import Move, hand_over, settle
from pipeline.registry.gate import Check, Contender, Decision, in_nobodys_way, judge, readable
from pipeline.registry.heldout import held_out
from pipeline.registry.model import CHAMPION, PREVIOUS, RegisteredModel
from pipeline.registry.register import DATA, SPLIT
from pipeline.serving.scorer import Scorer


def promote(config: RunConfig, prepared: Prepared, version: int, extra: Sequence[Check] = ()) -> Decision:
    """Put a version in service if it passes the gate; what served becomes ``previous``.

    The decision is written down either way: as tags of the version, and with all its evidence as JSON and Markdown
    among the files of the run that trained it.

    Args:
        config: Its name is the registered model's, its ``[gate]`` the rules.
        prepared: On whose test rows it is judged.
        version: The candidate.
        extra: Checks that were made elsewhere.

    Raises:
        InputError: If there is no such version, the files of it or of the champion cannot be fetched, or the rows
            cannot be read. What is in a version's files is judged.
    """
    model = RegisteredModel(config.name)
    model.version(version)
    settle(model)
    while True:
        decision = decide(config, prepared, version, extra)
        if decision.champion == version:
            return decision
        record(model, decision)
        if not decision.passed or hand_over(model, _promotion(decision)):
            return decision


def decide(config: RunConfig, prepared: Prepared, version: int, extra: Sequence[Check] = ()) -> Decision:
    """Judge a version against the present champion, and change nothing; arguments and errors as :func:`promote`."""
    model = RegisteredModel(config.name)
    champion = model.aliases.get(CHAMPION)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if champion == version:
        served = Check("champion", True, f"version {version} is in service", "a version is judged before it serves")
        return Decision(config.name, version, champion, (served,), prepared.fingerprint, 0, now)
    checks, rows = _judged(config, prepared, model, version, champion)
    return Decision(config.name, version, champion, (*checks, *extra), prepared.fingerprint, rows, now)


@dataclass(frozen=True)
class Restored:
    """A rollback.

    Args:
        model: The registered model.
        champion: The version that serves again.
        previous: The one that did.
        at: When, in UTC.
        reason: Why.
    """

    model: str
    champion: int
    previous: int
    at: str
    reason: str


def rollback(name: str, reason: str) -> Restored:
    """Put the version in service that served before, at once, without judging it.

    Args:
        name: The registered model.
        reason: Why; kept in the tags of both versions.

    Raises:
        InputError: If no version served before, its files are gone, or another command changed the champion meanwhile.
    """
    model = RegisteredModel(name)
    settle(model)
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
    if not hand_over(model, Move(previous, champion, tags)):
        raise InputError(f"another command has just moved the champion of `{name}`; look which one serves, then again")
    return Restored(name, previous, champion, at, reason)


def record(model: RegisteredModel, decision: Decision) -> None:
    """Write a decision down: where the version is seen, and with its evidence among its run's files."""
    against = "none" if decision.champion is None else str(decision.champion)
    tags = {"gate": "passed" if decision.passed else "refused", "gate.why": decision.why, "gate.at": decision.at}
    tags |= {"gate.champion": against, "gate.data": decision.data, "gate.rows": str(decision.rows)}
    tags["gate.checks"] = "; ".join(f"{check.name}: {check.found}" for check in decision.checks)
    if run_id := model.version(decision.candidate).run_id:
        stem = f"gate/version-{decision.candidate}-after-{against}-{decision.data}"
        evidence = json.dumps({**asdict(decision), "passed": decision.passed}, indent=1)
        model.client.log_text(run_id, evidence, f"{stem}.json")
        model.client.log_text(run_id, markdown(decision), f"{stem}.md")
        tags["gate.evidence"] = f"runs:/{run_id}/{stem}.json"
    model.tag(decision.candidate, tags)


def markdown(decision: Decision) -> str:
    """A decision to read."""
    against = "no champion" if decision.champion is None else f"version {decision.champion}"
    head = f"# {decision.model} version {decision.candidate}: {'passed' if decision.passed else 'refused'}"
    where = f"{decision.at}, against {against}, on {decision.rows} test rows of data {decision.data}."
    table = ["| check | | found | rule |", "|---|---|---|---|"]
    table += [f"| {c.name} | {'yes' if c.passed else '**no**'} | {c.found} | {c.rule} |" for c in decision.checks]
    return "\n\n".join([head, where, "\n".join(table)]) + "\n"


def _promotion(decision: Decision) -> Move:
    tags = {str(decision.candidate): {"promoted": decision.at}}
    if decision.champion is not None:
        tags[str(decision.champion)] = {"replaced": decision.at, "replaced.by": str(decision.candidate)}
    return Move(decision.candidate, decision.champion, tags)


def _judged(
    config: RunConfig, prepared: Prepared, model: RegisteredModel, version: int, champion: int | None
) -> tuple[list[Check], int]:
    """What a version showed, and on how many rows."""
    scorer, rival = _scorer(model, version), None if champion is None else _scorer(model, champion)
    if isinstance(scorer, InputError):
        return [readable(str(scorer))], 0
    candidate = _contender(model, version, scorer)
    _check_tasks(candidate, config)
    checks, scorers, serving = [readable()], [scorer], None
    if isinstance(rival, InputError):
        checks.append(in_nobodys_way(str(rival)))
    elif champion is not None and rival is not None:
        scorers.append(rival)
        serving = _contender(model, champion, rival)
    rows = held_out(config, prepared, scorers, config.gate.rows)
    return [*checks, *judge(candidate, serving, rows, prepared, config.gate)], len(rows)


def _scorer(model: RegisteredModel, number: int) -> Scorer | InputError:
    """A version's model, or what is wrong with it.

    Raises:
        InputError: If its files are not there, which says nothing of them.
    """
    model.check_files(number)  # a folder that is gone reads as an empty one below
    try:
        return model.scorer(number)
    except InputError as error:
        return error


def _contender(model: RegisteredModel, number: int, scorer: Scorer) -> Contender:
    tags = model.version(number).tags
    split = json.loads(tags[SPLIT]) if SPLIT in tags else None
    return Contender(number, scorer.tasks, model.inputs(number), split, tags.get(DATA))


def _check_tasks(candidate: Contender, config: RunConfig) -> None:
    if unknown := [task for task in candidate.tasks if task not in config.spec.tasks]:
        rule = f"the config declares {', '.join(config.spec.tasks)}; without labels it cannot be judged"
        raise InputError(f"version {candidate.number} predicts {', '.join(unknown)}: {rule}")
