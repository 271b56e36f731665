"""The page of all methods: the effect, cost, options and ranges of each, from its own docstring.

``gradops methods`` prints it, and ``docs/methods.md`` is its output: a method documents itself.
"""

from __future__ import annotations

import re
from dataclasses import Field, fields
from inspect import cleandoc, getdoc
from typing import Any

from gradops.base import GramianMethod, Method
from gradops.methods import METHODS, PARTS, own_fields, written_rotation
from gradops.rotation import Rotation

_SECTION = re.compile(r"^(Args|Raises|References|Example):$", flags=re.MULTILINE)

_INTRODUCTION = """
# The methods

T tasks have T gradients with respect to the parameters that they share. A method turns them into one update; every
[tower](glossary.md#tower) still gets the plain gradient of its own loss. A method that weighs sees only the T x T
[Gram matrix](glossary.md#gram-matrix) of the gradients and the losses. The matrix is the expensive part, with T
backward passes through the shared part instead of one; the method itself is cheap (`python -m benchmarks.weights`
prints its time). `train.measure = "features"` forms the matrix at the shared representation instead, for one pass; it
is then a different matrix.

Select one by its name, `train.method = "pcgrad"`, with options as `"gradops(alpha=-2)"`; `compare.methods = ["all"]`
runs every one of them with its defaults. With any of them the towers can read through learned
[rotations](glossary.md#rotation): `"gradops(alpha=-2) + rotation(map='cayley')"`. This page is what `gradops methods`
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
    return "\n\n".join([_INTRODUCTION.strip(), *sections, _rotation()]) + "\n"


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
    known = kind.at_features or (issubclass(kind, GramianMethod) and not kind.needs_gramian)
    passes = one if known else 'T backward passes through the shared part, or one with `measure = "features"`'
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
