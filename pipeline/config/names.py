"""The names of methods and architectures that a config may use: those of their files, since importing them takes torch.

A :class:`Resolver` interprets the options after a name, and checks whether a method fits.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationInfo

from features.declared import Declared
from features.nearest import nearest

_ROOT = Path(__file__).parents[2]


def _files(folder: str) -> tuple[str, ...]:
    files = (_ROOT / folder).glob("*.py")
    return tuple(sorted(path.stem for path in files if not path.stem.startswith(("__", "base"))))


METHOD_NAMES = _files("gradops/methods")
ARCHITECTURE_NAMES = _files("models/architectures")


class Resolver(Protocol):
    """Resolves the names in a config by the modules behind them.

    :class:`pipeline.training.resolve.Modules` is the only one; a config's validation has it in its context, under
    ``"resolver"``. Validation without a resolver checks names only, and keeps texts as they are written.
    """

    def methods(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        """Methods in their written form, each once; every known one for ``("all",)``.

        Raises:
            ValueError: If a text is no method. All such texts are listed.
        """

    def architecture(self, written: Mapping[str, Any]) -> Declared:
        """The section ``[model]`` as its architecture declares it.

        Raises:
            pydantic.ValidationError: If the architecture lacks a key or refuses a value.
        """

    def architecture_type(self, written: Mapping[str, Any]) -> type[Declared]:
        """The class that declares the keys of the section ``[model]``, for the architecture that it names."""

    def misnamed(self, model: Declared, tasks: Sequence[str]) -> Sequence[str]:
        """The problems of an architecture's keys with the names of these tasks, all that the config declares."""

    def unread_encodings(self, model: Declared, encodings: Collection[str]) -> Sequence[str]:
        """The encodings of numbers whose keys in ``[model]`` are set, though they are none of these."""

    def unmeasurable(
        self, model: Declared, tasks: Sequence[str], methods: Collection[str], measure: str
    ) -> Sequence[str]:
        """The reasons why conflict of these trained tasks cannot be measured where ``measure`` or a method says."""

    def unfit(self, method: str, tasks: int, model: Declared) -> str | None:
        """The reason why a method does not fit a number of tasks or an architecture; None if it fits."""


def resolver_of(info: ValidationInfo) -> Resolver | None:
    """The resolver of a validation, if there is one."""
    return (info.context or {}).get("resolver")


def known_methods(texts: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Methods in their written form by the validation's resolver; without one unchanged, if their names are known.

    Raises:
        ValueError: If a text is no method. All such texts are listed.
    """
    if resolver := resolver_of(info):
        return resolver.methods(texts)
    problems = [problem for text in texts if texts != ("all",) and (problem := _unknown(text))]
    if problems:
        raise ValueError(" ".join(problems))
    return texts


def _unknown(text: str) -> str | None:
    name = (re.match(r"\s*(\w*)", text) or [""])[0].strip()
    if name in METHOD_NAMES:
        return None
    near = f" Did you mean `{n}`?" if (n := nearest(name, METHOD_NAMES)) else ""
    return f"A method should be one of {', '.join(METHOD_NAMES)}. Found `{name}`.{near}"


def known_name(name: str, names: Sequence[str], subject: str) -> str:
    """A name, if it is among the known ones.

    Args:
        name: The name.
        names: The known names.
        subject: The thing that has such a name, with its article.

    Raises:
        ValueError: If the name is unknown. It tells the nearest name and all of them.
    """
    if name in names:
        return name
    near = f"did you mean `{n}`? " if (n := nearest(name, names)) else ""
    raise ValueError(f"{near}{subject} is one of {', '.join(names)}")
