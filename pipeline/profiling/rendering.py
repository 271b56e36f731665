"""A draft as commented TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from pipeline.profiling.draft import Draft

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_FOLD = 118


def rendered(draft: Draft, command: str) -> str:
    """The text of a config.

    Args:
        draft: The draft.
        command: The command that drafted it, for the first line.
    """
    return "\n".join([*_lines(draft, command), ""])


def _lines(draft: Draft, command: str) -> Iterator[str]:
    content, log = draft.config(), draft.log
    files = f"{len(log.table.files)} file(s), {log.rows:,} rows"
    yield from _comment(f"Drafted by `{command}` from {files}; figures are of {log.of_rows}.")
    yield from _comment("Read it once, change what you know better, then: gradops prepare, gradops compare.")
    if draft.to_look_at:
        yield "#"
        yield "# Guesses to look at first:"
        for text in draft.to_look_at:
            yield from _comment(f"- {text}", behind="  ")
    yield from ["", _pair("name", content["name"]), "", "[data]"]
    yield from (_pair(key, value) for key, value in content["data"].items())
    yield from ["", "[split]", *_comment(draft.split.evidence)]
    yield from (_pair(key, value) for key, value in content["split"].items())
    if contract := content.get("contract"):
        yield from ["", "[contract]"]
        notes = {"unique": draft.unique[1] if draft.unique else "", "empty_days": draft.day_gap}
        yield from (_noted(_pair(key, value), notes[key]) for key, value in contract.items())
    yield from ["", "[spec]", *_excluded(draft, content["spec"]["excluded"])]
    yield _pair("width", content["spec"]["width"])
    if draft.group:
        yield _noted(_pair("group", draft.group[0]), draft.group[1])
    yield from ["", "[spec.tasks]"]
    yield from (_noted(_pair(one.name, content["spec"]["tasks"][one.name]), one.evidence) for one in draft.labels)
    yield from ["", "[spec.features]"]
    for name, keys in content["spec"]["features"].items():
        yield _noted(_pair(name, keys), draft.features[name].evidence)
    yield from ["", "[model]", *(_pair(*pair) for pair in content["model"].items())]
    yield from ["", "[train]", *_comment(draft.training.evidence)]
    yield from (_pair(*pair) for pair in content["train"].items())
    yield from ["", "[compare]", 'methods = ["uniform", "gradops(alpha=-1)"]']


def _excluded(draft: Draft, listed: Sequence[str]) -> Iterator[str]:
    """The list of columns that are no features, with the reason of each."""
    if listed:
        reasons = {one.column: one.reason for one in draft.excluded}
        yield "excluded = ["
        yield from (_noted(f"  {toml_value(column)},", reasons[column]) for column in listed)
        yield "]"


def _comment(text: str, behind: str = "") -> Iterator[str]:
    """A text as lines of comments; lines after the first are indented."""
    line = "#"
    for word in _plain(text).split(" "):
        if len(line) + len(word) >= _FOLD and line.strip("# "):
            yield line
            line = f"#{behind}"
        line += f" {word}"
    yield line


def _noted(text: str, note: str) -> str:
    return f"{text} # {_plain(note)}" if note else text


def _plain(text: str) -> str:
    """A text that a comment may hold: TOML allows neither control characters nor line breaks there."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)


def _pair(key: str, value: Any) -> str:
    return f"{key if _BARE.fullmatch(key) else _quoted(key)} = {toml_value(value)}"


def toml_value(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_pair(key, one) for key, one in value.items()) + " }"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return value.isoformat() if isinstance(value, date) else repr(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
