"""An explanation in sentences: what matters most to each task, and which features seem to do nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.explanation.explanation import Explanation

_NAMED = 12


def summary(explanation: Explanation) -> list[str]:
    """Sentences for a reader who will not read the table."""
    return [*_most(explanation), *_without(explanation), *_cautions(explanation)]


def _most(explanation: Explanation) -> Iterator[str]:
    for task, auc in explanation.auc.items():
        found = [w for w in explanation.of_kind("column") if w.drops[task].is_beyond_noise]
        first = sorted(found, key=lambda worth: -worth.drops[task].delta)[:3]
        texts = [
            f"`{w.name}` ({w.drops[task].delta:.4f} [{w.drops[task].low:.4f}, {w.drops[task].high:.4f}])" for w in first
        ]
        said = "what it loses without " + ", ".join(texts) if texts else "no column is worth more than noise"
        yield f"{task}, AUC {auc:.4f}: {said}."


def _without(explanation: Explanation) -> Iterator[str]:
    if explanation.unread:
        yield f"No score depends on {_listed(explanation.unread)}: constant on these rows, or without any weight."
    dead = {name: explanation.stands_for(name) for name in explanation.dead}
    if lone := [name for name, other in dead.items() if other is None]:
        yield f"Worth nothing beyond noise to any task on these {explanation.rows:,} rows: {_listed(lone)}."
    for name, other in dead.items():
        if other is not None:
            yield f"`{name}` alone is worth nothing beyond noise, but `{other.name}` is: others make up for it."


def _cautions(explanation: Explanation) -> Iterator[str]:
    if missing := [task for task in explanation.tasks if task not in explanation.auc]:
        yield f"Nothing is said of {_listed(missing)}: these rows are of one class."
    if not explanation.is_own_data:
        yield (
            f"The model was trained on other data than {explanation.data}: it may have seen these rows, and what it "
            "learnt by heart counts as worth."
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown
