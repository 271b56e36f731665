"""What a comparison or a search says, in sentences: the choice first, then everything that speaks against trusting it.

Every sentence has the numbers that it rests on. `docs/statistics.md` explains the limits.
"""

from __future__ import annotations

from pipeline.comparison.cautions import cautions
from pipeline.comparison.confidence import Interval
from pipeline.comparison.findings import Findings, worse_than_single
from pipeline.runs.plan import SINGLE_TASK, UNIFORM

_MOST_TASKS = 4  # named one by one in the first sentence


def verdicts(findings: Findings) -> list[str]:
    """Sentences for a reader who will not read the table; the first one is the verdict, the others are warnings."""
    return [_verdict(findings), *cautions(findings)] if findings.methods else []


def _verdict(findings: Findings) -> str:
    choice = findings.choice
    if (drop := worse_than_single(findings, choice, None)) is not None:
        found = f"`{choice}` is {-drop.delta:.4f} below the single-task models in average test AUC ({_ends(drop)})"
        return f"Multi-task training does not pay here: {found}."
    beside = _beside_uniform(findings, choice)
    against = _beside_single(findings, choice)
    return f"Take `{choice}`: {beside}{'; ' if beside and against else ''}{against}."


def _beside_uniform(findings: Findings, choice: str) -> str:
    others = [(i, s) for s in findings.methods if (i := findings.against(s, UNIFORM, None)) is not None]
    if not others:
        average = findings.average(choice, "test")
        return f"average test AUC {average:.4f}" + (", the best by validation" if len(findings.methods) > 1 else "")
    best, name = max(others, key=lambda pair: pair[0].delta)
    if choice != UNIFORM.name:
        own = findings.against(choice, UNIFORM, None)
        assert own is not None, "it was chosen by this interval"
        return f"its average test AUC is {own.delta:.4f} above that of `uniform` ({_ends(own)}), beyond noise"
    nearest = f"the highest, `{name}`, has {best.delta:+.4f} in average test AUC ({_ends(best)})"
    return f"no other method is better on average beyond noise: {nearest}{_on_one_task(findings)}"


def _on_one_task(findings: Findings) -> str:
    """The largest gain on a single task beyond noise, and the number of further ones."""
    gains = sorted((i for i in findings.intervals if _gains(findings, i)), key=lambda i: -i.delta)
    if not gains:
        return ""
    further = f", and {len(gains) - 1} more such gain{'s' * (len(gains) > 2)}" if len(gains) > 1 else ""
    return f"; on one task `{gains[0].system}` is, {gains[0].task} {gains[0].delta:+.4f}{further}"


def _gains(findings: Findings, interval: Interval) -> bool:
    is_task_of_method = interval.task is not None and interval.system in findings.methods
    return is_task_of_method and interval.against == UNIFORM.name and interval.low > 0


def _beside_single(findings: Findings, choice: str) -> str:
    tasks = [*findings.tasks] if len(findings.tasks) <= _MOST_TASKS else [None]
    found = [i for task in tasks if (i := findings.against(choice, SINGLE_TASK, task)) is not None]
    texts = [f"{i.task or 'average'} {i.delta:+.4f}{'' if i.mark else ' (within noise)'}" for i in found]
    return f"against single-task models: {', '.join(texts)}" if texts else ""


def _ends(interval: Interval) -> str:
    return f"interval {interval.low:+.4f} to {interval.high:+.4f}"
