"""Reads a config's TOML file with its bases and overrides of single keys; one error lists all problems."""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from features.errors import InputError
from pipeline.config.names import Resolver
from pipeline.config.problems import Location, problems
from pipeline.config.run import DEFAULT_KIND, RunConfig


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
        keys = partial(_known_keys, content, resolver)
        raise InputError.of(subject, problems(error, content, keys, list(RunConfig.model_fields))) from None


def _read(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path.resolve() in seen:
        raise InputError(f"{path} extends itself; `extends` should end at a file without it")
    try:
        content = tomllib.loads(_text(path))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); give the path of a config such as configs/census.toml"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}") from None
    base, without = content.pop("extends", None), content.pop("without", [])
    if not isinstance(base, str | None):
        raise InputError(f"{path}: `extends` is the path of another config in quotes, found {base!r}")
    if not isinstance(without, list) or not all(isinstance(key, str) for key in without) or (without and not base):
        raise InputError(f"{path}: `without` is a list of keys, as section.key, of the config that it extends")
    if base is None:
        return content
    extended = _read(path.parent / base, (*seen, path.resolve()))
    for key in without:
        _remove(extended, key, path)
    return _merged(_without_other_architecture(extended, content), content)


def _remove(content: dict[str, Any], key: str, path: Path) -> None:
    """Take a key of an extended config away.

    Raises:
        InputError: If the config does not have it.
    """
    *sections, name = key.split(".")
    for section in sections:
        found = content.get(section)
        content = found if isinstance(found, dict) else {}
    if name not in content:
        raise InputError(f"{path}: `without` names `{key}`, which the config that it extends does not have")
    del content[name]


def _text(path: Path) -> str:
    """The text of a file that is UTF-8, with a byte order mark or without.

    Raises:
        InputError: If it has another encoding.
    """
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        raise InputError(f"{path} is UTF-16 text, and TOML is UTF-8: save it with the encoding UTF-8")
    try:
        # As when Python reads text: lines may end as Windows ends them, but tomllib wants one way.
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        fix = "save it with the encoding UTF-8"
        raise InputError(f"{path} is not UTF-8: line {line} has the byte {data[error.start]:#x}; {fix}") from None


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


def _known_keys(content: Mapping[str, Any], resolver: Resolver | None, location: Location) -> list[str]:
    """The keys that a section of the file may have."""
    if resolver is not None and location[:1] == ("model",):
        return _keys(resolver.architecture_type(content["model"]), location[1:])
    return _keys(RunConfig, location)


def _keys(kind: Any, location: Sequence[int | str]) -> list[str]:
    """Field names of the model at a location; of every member where it is a union or a mapping of models.

    Where ``kind`` chooses a member of a union, pydantic's location has it, and the names are those of this member.
    """
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if location and location[0] in kind.model_fields:
            return _keys(kind.model_fields[str(location[0])].annotation, location[1:])
        return list(kind.model_fields)
    chosen = next((member for member in _models(kind) if location and location[0] in _names(member)), None)
    if chosen is not None:
        return _keys(chosen, location[1:])
    return list(dict.fromkeys(name for member in get_args(kind) for name in _keys(member, location[1:])))


def _models(kind: Any) -> list[type[BaseModel]]:
    """The models in a type: the members of a union, the values of a mapping."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [model for member in get_args(kind) for model in _models(member)]


def _names(model: type[BaseModel]) -> tuple[Any, ...]:
    """The values of ``kind`` that choose a model."""
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()
