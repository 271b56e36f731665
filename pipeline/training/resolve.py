"""Reads a config's file for commands that train, with the methods and the architecture that its text names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import torch

from features.declared import Declared
from gradops.base import GramianMethod
from gradops.methods import METHODS, format_method, parse
from gradops.rotation import Rotations
from models.architectures import ARCHITECTURES, parse_architecture
from models.architectures.base_config import DEFAULT_KIND, ArchitectureConfig
from pipeline.config.run import RunConfig
from pipeline.config.toml import read_config


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a config, its methods in their canonical form and its section ``[model]`` as the architecture declares it.

    Args:
        path: The TOML file.
        overrides: ``section.key=value`` with a TOML value, as given to ``--set``.

    Raises:
        InputError: As :func:`pipeline.config.toml.read_config`, and if a method or an architecture has no such options
            or a method does not fit. All problems are listed.
    """
    return read_config(path, overrides, Modules())


def changed_config(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """A config with other values at some keys, as in ``{"model.dropout": 0.1}``, checked like a file.

    Raises:
        KeyError: If a key is unknown.
        ValueError: If a key does not take its value.
    """
    return config.changed(values, Modules())


@dataclass(frozen=True)
class Modules:
    """Resolves names by the modules behind them. A :class:`pipeline.config.names.Resolver`."""

    def methods(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        """As :meth:`pipeline.config.names.Resolver.methods`."""
        problems, chosen = [], []
        for text in METHODS if texts == ("all",) else texts:
            try:
                chosen.append(format_method(parse(text)))
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError(" ".join(problems))
        return tuple(dict.fromkeys(chosen))

    def architecture(self, written: Mapping[str, Any]) -> ArchitectureConfig:
        """As :meth:`pipeline.config.names.Resolver.architecture`."""
        return parse_architecture(written)

    def architecture_type(self, written: Mapping[str, Any]) -> type[Declared]:
        """As :meth:`pipeline.config.names.Resolver.architecture_type`."""
        return ARCHITECTURES[written.get("kind", DEFAULT_KIND)]

    def misnamed(self, model: Declared, tasks: Sequence[str]) -> Sequence[str]:
        """As :meth:`pipeline.config.names.Resolver.misnamed`."""
        architecture = parse_architecture(model.model_dump())
        unknown, names = architecture.unknown_tasks(tasks), Counter([*tasks, *architecture.further_outputs(tasks)])
        problems = [f"model names `{task}`, which is not a task ({', '.join(tasks)})" for task in unknown]
        return problems + [
            f"model gives {count} outputs of the name `{name}`, tasks among them; rename a task"
            for name, count in names.items()
            if count > 1
        ]

    def unread_encodings(self, model: Declared, encodings: Collection[str]) -> Sequence[str]:
        """As :meth:`pipeline.config.names.Resolver.unread_encodings`."""
        return parse_architecture(model.model_dump()).encoding.unread(encodings)

    def unmeasurable(
        self, model: Declared, tasks: Sequence[str], methods: Collection[str], measure: str
    ) -> Sequence[str]:
        """As :meth:`pipeline.config.names.Resolver.unmeasurable`."""
        architecture = parse_architecture(model.model_dump())
        pairs = combinations(zip(tasks, architecture.parts_read(tasks), strict=True), 2)
        apart = next(((one, other) for (one, of_one), (other, of_other) in pairs if not of_one & of_other), None)
        if apart is None:
            return ()
        reason = (
            f"at the features of `{architecture.kind}` the tasks `{apart[0]}` and `{apart[1]}` read different tensors, "
            "so that no conflict of theirs would ever be found; `model.detach = true` lets all tasks read the same one"
        )
        at_features = [text for text in methods if parse(text).at_features]
        problems = [f"method `{text}` is defined at the features: {reason}; or leave it out" for text in at_features]
        if measure == "features":
            problems.append(f'train.measure = "features": {reason}; or set `train.measure = "parameters"`')
        return problems

    def unfit(self, method: str, tasks: int, model: Declared) -> str | None:
        """As :meth:`pipeline.config.names.Resolver.unfit`; found by trying the method on one step."""
        parsed, architecture = parse(method), parse_architecture(model.model_dump())
        width = architecture.head_width
        where = f"{tasks} task(s)" + ("" if width is None else f" and a representation of {width}")
        try:
            state = parsed.start(tasks, torch.Generator())
            if isinstance(parsed, GramianMethod):
                parsed.step(torch.eye(tasks), torch.ones(tasks), state)
            if parsed.rotation is not None:
                if width is None:
                    raise ValueError(
                        f"rotations turn one vector that all tasks read, and `{architecture.kind}` has none"
                    )
                Rotations(parsed.rotation, tasks=tasks, width=width)
        except ValueError as error:
            return f"method `{method}` does not fit {where}: {error}"
        return None
