"""The options of a method that a search draws, and the method with other values of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gradops.base import Method
from gradops.methods import METHODS, format_method


def name_of(method: Method) -> str:
    """The name of a method, without its options."""
    return next(name for name, kind in METHODS.items() if kind is type(method))


def option_of(method: Method, option: str) -> Any:
    """The value of an option; that of a part, such as a rotation, has the part's name and a dot in front."""
    part, _, name = option.rpartition(".")
    return getattr(getattr(method, part) if part else method, name)


def with_options(method: Method, options: dict[str, float]) -> str:
    """A method with other values of some options, as text."""
    own: dict[str, Any] = {name: v for name, v in options.items() if "." not in name}
    for part in {name.partition(".")[0] for name in options.keys() - own.keys()}:
        prefix = f"{part}."
        changed = {name.removeprefix(prefix): v for name, v in options.items() if name.startswith(prefix)}
        own[part] = replace(getattr(method, part), **changed)
    return format_method(replace(method, **own))
