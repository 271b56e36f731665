"""The problems of a config as sentences: section, key, rule, the value found, and the nearest known name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from textwrap import shorten
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from features.nearest import did_you_mean, nearest

Location = tuple[int | str, ...]
_FLAG = "true or false, without quotes"
_WHOLE, _NUMBER, _DAY = "a whole number", "a number", "a day such as 2026-01-31, without quotes"
_SECTION = "a section with keys, or {{ key = value, ... }}"
# Type of pydantic's error to the rule it stands for, with the limits of its context.
_RULES = {
    "string_type": "text in quotes",
    "path_type": "a path in quotes",
    "bool_type": _FLAG,
    "bool_parsing": _FLAG,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "a finite number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number that is {ge} or more",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number that is {le} or less",
    "literal_error": "one of {expected}",
    "tuple_type": "a list in square brackets",
    "list_type": "a list in square brackets",
    "too_short": "filled: number of entries {min_length} or more",
    "too_long": "shorter: number of entries {max_length} or less",
    "dict_type": _SECTION,
    "mapping_type": _SECTION,
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
    **dict.fromkeys(["date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"], _DAY),
    **dict.fromkeys(
        ["datetime_type", "datetime_parsing", "datetime_from_date_parsing"],
        "a moment such as 2026-01-31T12:00:00, without quotes",
    ),
    "string_pattern_mismatch": "{form}",
}
# Beginning and further letters of a pattern to its words.
_FORMS = {
    r"^[A-Za-z][A-Za-z0-9_]*$": "a name of letters, digits and _ that begins with a letter",
    r"^[A-Za-z0-9][A-Za-z0-9_-]*$": "a name of letters, digits, _ and - that begins with a letter or a digit",
    r"^([A-Za-z0-9][A-Za-z0-9_-]*)?$": "a name of letters, digits, _ and - that begins with a letter or a digit",
    r"^([0-9a-f]{16})?$": "the fingerprint of a run: 16 digits from 0 to f",
}


def problems(
    error: ValidationError, content: Mapping[str, Any], keys: Callable[[Location], list[str]], sections: Sequence[str]
) -> list[str]:
    """The problems of a config, one for each place in it.

    Args:
        error: The errors that the config's classes found.
        content: The config as it is written.
        keys: Function from a location to the keys that the section there may have.
        sections: The sections in which a misplaced key may belong.
    """
    found: dict[str, list[str]] = {}
    rules: dict[str, list[str]] = {}
    for details in error.errors():
        if _is_counted_without_wrong_entries(details):
            continue
        where = _place(details, content)
        if rule := _rule(details):
            # A value that may be of several types breaks a rule of each.
            rules.setdefault(where, []).append(rule)
            found[where] = [f"should be {' or '.join(dict.fromkeys(rules[where]))}{_found(details)}"]
        else:
            found.setdefault(where, []).append(_sentence(details, keys, sections))
    return [f"{where}: {text}" if where else text for where, texts in found.items() for text in texts]


def _is_counted_without_wrong_entries(details: ErrorDetails) -> bool:
    """Whether a list is too short for pydantic only since it leaves out entries with errors of their own."""
    value = details["input"]
    return (
        details["type"] == "too_short" and isinstance(value, list) and len(value) >= details["ctx"].get("min_length", 0)
    )


def _place(details: ErrorDetails, content: Any) -> str:
    """The place of an error in the file; pydantic also names the chosen kind of a feature and the types of a value."""
    place = []
    for part in details["loc"]:
        if part in (
            content if isinstance(content, Mapping) else range(len(content)) if isinstance(content, list) else ()
        ):
            content = content[part]
        elif details["type"] != "missing" or part != details["loc"][-1]:
            continue
        place.append(str(part))
    if details["type"].startswith("union_tag"):
        place.append(_tag_key(details))
    return ".".join(place)


def _rule(details: ErrorDetails) -> str | None:
    """The rule that a value breaks, as the end of "it should be ..."; None if the error is of another sort."""
    if details["type"] not in _RULES:
        return None
    context = dict(details.get("ctx", {}))
    context = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
    pattern = str(context.get("pattern", ""))
    context["form"] = _FORMS.get(pattern, f"text of the form {pattern}")
    if "expected" in context:
        context["expected"] = str(context["expected"]).replace("'", '"')
    return _RULES[details["type"]].format(**context)


def _sentence(details: ErrorDetails, keys: Callable[[Location], list[str]], sections: Sequence[str]) -> str:
    match details["type"]:
        case "missing":
            return "is missing, and has no default"
        case "extra_forbidden":
            return _unknown_key(details["loc"], keys, sections)
        case "union_tag_invalid" | "union_tag_not_found":
            return _wrong_tag(details)
    message = details["msg"].removeprefix("Value error, ")
    is_shown = isinstance(details["input"], str | int | float) and "ound `" not in message
    return message + (_found(details) if is_shown else "")


def _unknown_key(location: Location, keys: Callable[[Location], list[str]], sections: Sequence[str]) -> str:
    *section, key = location
    known = keys(tuple(section))
    homes = [name for name in sections if len(section) < 2 and key in keys((name,))]
    if homes and not nearest(str(key), known):
        return f"unknown key; `{key}` belongs to {' or '.join(f'[{name}]' for name in homes)}"
    return f"unknown key; {did_you_mean(str(key), known, 'known keys')}"


def _tag_key(details: ErrorDetails) -> str:
    return str(details["ctx"]["discriminator"]).strip("'")


def _wrong_tag(details: ErrorDetails) -> str:
    """A key that chooses the others: the kind of a feature."""
    if details["type"] == "union_tag_not_found":
        return "is missing, and decides which other keys there are"
    tag, tags = details["ctx"]["tag"], re.findall(r"'([^']*)'", details["ctx"]["expected_tags"])
    return f"should be one of {', '.join(tags)}, found {shown(tag)}{_near(tag, tags)}"


def _found(details: ErrorDetails) -> str:
    """The end of a sentence: the value found, and the choice that is nearest to it."""
    choices = re.findall(r"'([^']*)'", str(details.get("ctx", {}).get("expected", "")))
    return f", found {shown(details['input'])}{_near(str(details['input']), choices)}"


def _near(name: str, known: Sequence[str]) -> str:
    near = nearest(name, known)
    return f"; did you mean `{near}`?" if near else ""


def shown(value: Any) -> str:
    """A value as a TOML file has it, shortened."""
    match value:
        case bool() | str():
            return shorten(json.dumps(value, ensure_ascii=False), 100)
        case date():  # also a moment
            return value.isoformat()
        case list() | tuple():
            return shorten(f"[{', '.join(map(shown, value))}]", 100)
        case Mapping():
            return shorten(f"{{ {', '.join(f'{key} = {shown(one)}' for key, one in value.items())} }}", 100)
    return str(value)
