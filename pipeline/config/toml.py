"""Reads a config's TOML file with its bases and overrides of single keys; one error lists all problems."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from features.errors import InputError
from pipeline.config.names import Resolver
from pipeline.config.run import DEFAULT_KIND, RunConfig

_Location = tuple[int | str, ...]


def read_config(path: Path, overrides: Sequence[str] = (), resolver: Resolver | None = None) -> RunConfig:
    """Read a config's text; ``extends = "other.toml"`` at its top takes every key it does not set from that file.

    The keys of ``[model]`` are taken only from a file of the same ``kind``: another architecture has other keys.

    Args:
        path: The TOML file.
        overrides: ``section.key=value`` with a TOML value, as given to ``--set``.
        resolver: Resolves the names of methods and of the architecture; without one their options are kept as they are
            written. Commands that train use :func:`pipeline.training.resolve.load_config`, which gives one.

    Raises:
        InputError: If the file is missing or no TOML, or has unknown keys or wrong values. All problems are listed.
    """
    content = _read(path)
    for override in overrides:
        _set(content, override)
    try:
        return RunConfig.model_validate(content, context={"resolver": resolver})
    except ValidationError as error:
        subject = f"{path}{' with its overrides' if overrides else ''}"
        raise InputError.of(
            subject, [_problem(e, partial(_known_keys, content, resolver)) for e in error.errors()]
        ) from None


def _read(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path.resolve() in seen:
        raise InputError(f"{path} extends itself; `extends` should end at a file without it")
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); give the path of a config such as configs/census.toml"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from None
    base = content.pop("extends", None)
    if not isinstance(base, str | None):
        raise InputError(f"{path}: `extends` is the path of another config in quotes, found {base!r}")
    if base is None:
        return content
    return _merged(_without_other_architecture(_read(path.parent / base, (*seen, path.resolve())), content), content)


def _without_other_architecture(base: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A base without its section ``[model]`` if the change names another ``kind``, which has other keys."""
    written, changed = base.get("model"), change.get("model")
    if not isinstance(written, Mapping) or not isinstance(changed, Mapping) or "kind" not in changed:
        return base
    is_same = written.get("kind", DEFAULT_KIND) == changed["kind"]
    return base if is_same else {key: value for key, value in base.items() if key != "model"}


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        merged[key] = _merged(base[key], value) if both else value
    return merged


def _set(content: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals:
        raise InputError(f"--set takes section.key=value, found `{override}`")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, key = path.strip().split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise InputError(f"--set {override}: `{section}` is a value, not a section")
    content[key] = value


def _problem(error: ErrorDetails, keys: Callable[[_Location], list[str]]) -> str:
    # pydantic names the chosen kind of a feature in the location; the file does not.
    location = [part for i, part in enumerate(error["loc"]) if (i, error["loc"][:2]) != (3, ("spec", "features"))]
    where = ".".join(map(str, location))
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] != "extra_forbidden":
        is_shown = isinstance(error["input"], str | int | float) and "Found `" not in message
        found = f", found {error['input']!r}" if is_shown else ""
        return f"{where}: {message}{found}" if where else message
    known = keys(error["loc"][:-1])
    near = get_close_matches(str(location[-1]), known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
    return f"{where}: unknown key; {hint}"


def _known_keys(content: Mapping[str, Any], resolver: Resolver | None, location: _Location) -> list[str]:
    """The keys that a section of the file may have."""
    if resolver is not None and location == ("model",):
        return resolver.architecture_keys(content["model"])
    return _keys(RunConfig, location)


def _keys(kind: Any, location: Sequence[int | str]) -> list[str]:
    """Field names of the model at a location; of every member where it is a union or a mapping of models."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if location and location[0] in kind.model_fields:
            return _keys(kind.model_fields[str(location[0])].annotation, location[1:])
        return list(kind.model_fields)
    return list(dict.fromkeys(name for member in get_args(kind) for name in _keys(member, location[1:])))
