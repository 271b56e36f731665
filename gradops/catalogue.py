"""The page of all methods: the effect, cost, options and ranges of each, from its own docstring.

``gradops methods`` prints it, and ``docs/methods.md`` is its output: a method documents itself.
"""

from __future__ import annotations

import re
from dataclasses import Field, fields
from inspect import cleandoc, getdoc
from typing import Any

from gradops.base import GramianMethod, Method
from gradops.elsewhere import REFUSED, REFUSED_OPTIONS, SAME
from gradops.measured import MEASURED
from gradops.methods import METHODS, PARTS, own_fields, written_rotation
from gradops.rotation import Rotation

_SECTION = re.compile(r"^(Args|Raises|References|Example):$", flags=re.MULTILINE)

_PROMISES = {
    "never_conflicting": "no conflict",
    "linear_under_scaling": "scale",
    "permutation_invariant": "order",
    "simplex": "sum 1",
}

_INTRODUCTION = """
# The methods

T tasks have T gradients with respect to the parameters that they share. A method turns them into one update; every
[tower](glossary.md#tower) still gets the plain gradient of its own loss. A method that weighs sees only the T x T
[Gram matrix](glossary.md#gram-matrix) of the gradients and the losses. The matrix is the expensive part, with T
backward passes through the shared part instead of one; the method itself is cheap (`python -m benchmarks.weights`
prints its time). `train.measure = "features"` forms the matrix at the shared representation instead, for one pass; it
is then a different matrix.

The table of all methods has what each reads of a step, the backward passes that it costs, what it promises for any
gradients (each promise is tested on matrices on which it is hard to keep), when to choose it, and what we measured with
its default options on Census-income, where tasks hardly conflict: the mean test AUC of the three tasks less that of
uniform scaling, in units of 0.0001, with its simultaneous 95 % interval ([protocol](results-census.md)). Intervals of
one seed cover these very models only, not retraining. The cell of `uniform` itself is empty. The
[fair trial](results-trial.md) has each method at its best of 20 trials, beside tuned static weights, on logs whose
tasks differ; eight methods ran on all of its nine data sets, the others on two. None is above the best tuned weights
beyond its interval. Where some tasks are rare, try [`train.task_weights`](imbalance.md#weights-by-prevalence) first:
on generated logs it does nearly as well as tuned weights, without a search of weights.

Of the promises,

- *no conflict*: the update has a negative product with no task's gradient;
- *scale*: gradients in another unit give the same weights;
- *order*: the order of the tasks does not matter;
- *sum 1*: weights are at least 0 and sum to 1. Those of most other methods are about 1 each, as of uniform scaling.

Select one by its name, `train.method = "pcgrad"`, with options as `"gradops(alpha=-2)"`; `compare.methods = ["all"]`
runs every one of them with its defaults. With any of them the towers can read through learned
[rotations](glossary.md#rotation): `"gradops(alpha=-2) + rotation(map='cayley')"`; the weights of any method that weighs
can be limited and averaged over the steps: `"db_mtl + bound(10) + smooth(0.9)"`. This page is what `gradops methods`
prints.
"""


def search_space(method: Method) -> dict[str, tuple[float, float]]:
    """The options that a trade-off search draws, with their ranges.

    Those of rotations are drawn where the method has rotations of its own, those of a bound or an average where they
    are written; their names have a prefix, as in ``smooth.share``.
    """
    own = {field.name: field.metadata["search"] for field in own_fields(type(method)) if "search" in field.metadata}
    parts = {part: getattr(type(method)() if part == "rotation" else method, part, None) for part in PARTS}
    searched = {f"{part}.{f.name}": f for part, value in parts.items() if value for f in fields(value)}
    return own | {name: field.metadata["search"] for name, field in searched.items() if "search" in field.metadata}


def methods_page() -> str:
    """The page of all methods."""
    sections = [_section(name, kind) for name, kind in METHODS.items()]
    parts = [_rotation(), *(_changed_weights(part) for part in ("bound", "smooth"))]
    return "\n\n".join([_INTRODUCTION.strip(), _table(), *sections, *parts, _elsewhere()]) + "\n"


def _table() -> str:
    """A line a method."""
    rows = ["| method | reads | passes | promises | choose it | measured |", "|---|---|---|---|---|---|"]
    for name, kind in METHODS.items():
        promises = ", ".join(word for claim, word in _PROMISES.items() if claim in kind.claims)
        chosen = re.search(
            r"^Choose it (.*?)(?=[.:;](?:\s|\Z))", _sections(kind)["body"], flags=re.DOTALL | re.MULTILINE
        )
        when = " ".join(chosen[1].split()).replace("|", r"\|") if chosen else ""
        measured = MEASURED.get(name, "")
        cells = [f"[`{name}`](#{name})", _reads(kind), backward_passes(kind), promises, when, measured]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _reads(kind: type[Method]) -> str:
    if not issubclass(kind, GramianMethod):
        return "gradients at the features"
    gram = ["Gram matrix at the features" if kind.at_features else "Gram matrix"] if kind.needs_gramian else []
    return ", ".join([*gram, *(["losses"] if kind.reads_losses else [])]) or "nothing"


def backward_passes(kind: type[Method]) -> str:
    """The backward passes of a step through the shared part, T being the number of tasks, as the table says them."""
    if kind.at_features or (issubclass(kind, GramianMethod) and not kind.needs_gramian):
        return "1"
    return "T at first, then 1" if _ends_reading(kind) else "T"


def _ends_reading(kind: type[Method]) -> bool:
    """Whether a method can do without the Gram matrix after some steps."""
    return issubclass(kind, GramianMethod) and kind.reads_gramian is not GramianMethod.reads_gramian


def _changed_weights(part: str) -> str:
    parts = _sections(PARTS[part])
    options = _options(list(fields(PARTS[part])), parts["Args"])
    return "\n\n".join([f"## `+ {part}`", parts["body"], options, *_references(parts)])


def _elsewhere() -> str:
    """Names of other libraries, and what is not built."""
    same = [f"| `{name}` | `{here}` |" for name, here in SAME.items()]
    refused = [f"- `{name}`: {reason}." for name, reason in REFUSED.items()]
    refused += [f"- `{name}({option}=...)`: {reason}." for (name, option), reason in REFUSED_OPTIONS.items()]
    same = ["## Other names", "", "| elsewhere | here |", "|---|---|", *same]
    intro = (
        "Most need more of a step than its Gram matrix, losses and a few numbers of memory, and would cost what the\n"
    )
    intro += "other methods save; some are made for another problem."
    return "\n".join([*same, "", "## Not built", "", intro, "", *refused])


def _section(name: str, kind: type[Method]) -> str:
    parts = _sections(kind)
    lines = [f"## `{name}`", parts["body"], f"*Costs* {_cost(kind)}."]
    lines += [f"*Reads through* `{written_rotation(kind().rotation)}`."] if kind().rotation else []
    lines += [_options(own_fields(kind), parts["Args"])] if own_fields(kind) else []
    return "\n\n".join([*lines, *_references(parts)])


def _rotation() -> str:
    parts = _sections(Rotation)
    options = _options(list(fields(Rotation)), parts["Args"])
    return "\n\n".join(["## `+ rotation`", parts["body"], options, *_references(parts)])


def _cost(kind: type[Method]) -> str:
    one, rotated = "one backward pass through the shared part", kind().rotation is not None
    many = 'T backward passes through the shared part, or one with `measure = "features"`'
    passes = {"1": one, "T": many}.get(backward_passes(kind), f"{many}, in the first steps; later one")
    return passes + (", and for each task a rotation, its gradient and two products with the batch" if rotated else "")


def _options(options: list[Field[Any]], described: str) -> str:
    """A table of options, defaults and search ranges."""
    meaning = dict(re.findall(r"^(\w+): (.*?)(?=\n\w+: |\Z)", described, flags=re.MULTILINE | re.DOTALL))
    rows = ["| option | default | searched in | meaning |", "|---|---|---|---|"]
    for option in options:
        low_high = "[{:g}, {:g}]".format(*option.metadata["search"]) if "search" in option.metadata else "not searched"
        text = " ".join(meaning.get(option.name, "").split()).replace("|", r"\|")
        rows.append(f"| `{option.name}` | `{option.default!r}` | {low_high} | {text} |")
    return "\n".join(rows)


def _references(parts: dict[str, str]) -> list[str]:
    return [f"*Paper and departures.* {' '.join(parts['References'].split())}"] if "References" in parts else []


def _sections(kind: type) -> dict[str, str]:
    """A docstring's body and its sections, in Markdown."""
    body, *rest = _SECTION.split(to_markdown(getdoc(kind) or ""))
    sections = {title: cleandoc(text) for title, text in zip(rest[::2], rest[1::2], strict=True)}
    return {"body": body.strip(), "Args": "", **sections}


def to_markdown(text: str) -> str:
    """Markdown for reStructuredText: roles, formulas and literals."""
    text = re.sub(r":math:`(.*?)`", lambda m: f"$`{' '.join(m[1].split())}`$", text, flags=re.DOTALL)
    text = re.sub(r"\.\. math:: (.*?)(?=\n\n|\n*\Z)", r"```math\n\1\n```", text, flags=re.DOTALL)
    text = re.sub(r":(?:mod|data):`(.*?)`", r"`\1`", text)
    text = re.sub(r":(?:class|meth|func):`(?:[\w.]*\.)?(\w+)`", r"`\1`", text)
    return re.sub(r"``(.+?)``", r"`\1`", text)
