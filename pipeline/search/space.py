"""The search space: a trial chooses a method, its options, and numbers of the config."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice, product
from typing import Any

import numpy as np

from features.errors import InputError
from features.nearest import nearest
from gradops.base import Method
from gradops.catalogue import search_space
from gradops.methods import parse
from pipeline.config.run import RunConfig
from pipeline.config.search import Range
from pipeline.search.choice import METHOD, Choice, Draw, Fixed
from pipeline.search.method_options import name_of, option_of, with_options
from pipeline.training.resolve import changed_config

# The keys that change only the training: prepared data does not depend on them.
_SEARCHABLE = re.compile(r"(train|model|model\.interaction|model\.encoding\.\w+)\.\w+|spec\.tasks\.\w+\.weight")
_NOT_SEARCHABLE = {
    *("train.seed", "train.threads"),
    *("train.checkpoint_every", "train.keep_checkpoints", "train.async_checkpoints"),
}


@dataclass(frozen=True)
class Dimension:
    """One number that a trial chooses.

    Args:
        name: A method's option, such as ``gradops.alpha``, or a key of the config.
        range: Its range.
        whole: Whether it is an integer.
        written: Its value in the config.
    """

    name: str
    range: Range
    whole: bool
    written: float

    def drawn(self, draw: Draw) -> float:
        """The sampler's choice, rounded to six digits, since it becomes part of the runs' names."""
        low, high, log = self.range.low, self.range.high, self.range.log
        if self.whole:
            return draw.suggest_int(self.name, int(low), int(high), log=log)
        return min(max(float(f"{draw.suggest_float(self.name, low, high, log=log):.6g}"), low), high)

    def spread(self, count: int) -> list[float]:
        """Evenly spread values from end to end; fewer than ``count`` if the range has fewer whole numbers."""
        low, high = self.range.low, self.range.high
        values = np.geomspace(low, high, count) if self.range.log else np.linspace(low, high, count)
        if self.whole:
            return sorted({round(value) for value in values})
        return [min(max(float(f"{value:.6g}"), low), high) for value in values]

    @property
    def corners(self) -> list[float]:
        """Both ends of the range, and 0 if it lies between them: at 0 most options have no effect."""
        inner = [0.0] if self.range.low < 0 < self.range.high else []
        return [self.range.low, *inner, self.range.high]


class Space:
    """The space that a config's own methods and ranges make. A :class:`pipeline.search.choice.SearchSpace`.

    Args:
        config: The config, with its section ``[search]``.

    Raises:
        InputError: If a range names a key that cannot be searched, or reaches beyond the key's own range.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config, self._search = config, config.search
        self._methods = {text: parse(text) for text in self._search.methods}
        self._options = {text: list(self._of_method(method)) for text, method in self._methods.items()}
        known = {dimension.name for dimension in chain.from_iterable(self._options.values())}
        keys = [key for key in self._search.ranges if key not in known]
        if problems := [problem for key in keys for problem in _problems(config, key, known)]:
            raise InputError.of("search.ranges", problems)
        self._numbers = [
            Dimension(key, self._search.ranges[key], isinstance(at(config, key), int), at(config, key)) for key in keys
        ]

    def choose(self, draw: Draw) -> Choice:
        """The choice of a trial."""
        text = draw.suggest_categorical(METHOD, list(self._methods))
        options = {d.name.partition(".")[2]: d.drawn(draw) for d in self._options[text]}
        values = {d.name: d.drawn(draw) for d in self._numbers}
        return Choice(with_options(self._methods[text], options), options | values, values)

    def prescribed(self) -> list[Fixed]:
        """Choices that are fixed beforehand, one entry a trial; an empty entry leaves the choice to the sampler.

        A grid fixes every choice. Other samplers begin with every method as it is written in the config and with the
        corners of its options, for at most half of the trials.
        """
        trials = self._search.trials
        if self._search.sampler == "grid":
            return list(islice(self._grid(), trials))
        first = list(islice(self._first(), (trials + 1) // 2))
        return first + [{} for _ in range(trials - len(first))]

    def shown(self, chosen: Mapping[str, Any]) -> Mapping[str, float | str]:
        """All of a choice."""
        return chosen

    @property
    def identity(self) -> dict[str, Any]:
        """Nothing: the section ``[search]`` has all of it."""
        return {}

    def _first(self) -> Iterator[Fixed]:
        written = {text: {d.name: d.written for d in options} for text, options in self._options.items()}
        corners = (
            {METHOD: text, **written[text], d.name: value}
            for text, options in self._options.items()
            for d in options
            for value in d.corners
            if value != d.written
        )
        yield from ({METHOD: text, **values} for text, values in written.items())
        yield from corners

    def _grid(self) -> Iterator[Fixed]:
        for text, options in self._options.items():
            dimensions = [*options, *self._numbers]
            for values in product(*(d.spread(self._search.grid) for d in dimensions)):
                yield {METHOD: text, **{d.name: value for d, value in zip(dimensions, values, strict=True)}}

    def _of_method(self, method: Method) -> Iterator[Dimension]:
        name = name_of(method)
        for option, (low, high) in search_space(method).items():
            key = f"{name}.{option}"
            written = option_of(method, option)
            range_ = self._search.ranges.get(key) or Range(low=min(low, written), high=max(high, written))
            yield Dimension(key, range_, isinstance(written, int), min(max(written, range_.low), range_.high))


def at(config: RunConfig, key: str) -> Any:
    """The config's value at a key.

    Raises:
        KeyError: If the config lacks the key.
    """
    value: Any = config.model_dump()
    for section in key.split("."):
        if not isinstance(value, dict):
            raise KeyError(key)
        value = value[section]
    return value


def _problems(config: RunConfig, key: str, options: Iterable[str]) -> Iterator[str]:
    """The reasons why a key of the config cannot be searched in its range.

    Args:
        config: The config.
        key: The key.
        options: The options of its methods, which can be searched.
    """
    try:
        value = at(config, key)
    except KeyError:
        near = nearest(key, [*options, *_searchable(config)])
        hint = f"; did you mean `{near}`?" if near else ""
        yield f'"{key}" is neither a key of the config nor an option of a method that is searched{hint}'
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not _SEARCHABLE.fullmatch(key) or key in _NOT_SEARCHABLE:
        yield f'"{key}" should be a number of [train] or [model] or a task\'s weight, found {value!r}'
        return
    range_ = config.search.ranges[key]
    for end in (range_.low, range_.high):
        if isinstance(value, int) and not math.isclose(end, round(end)):
            yield f'"{key}" takes whole numbers, found {end:g}'
            continue
        try:
            changed_config(config, {key: int(end) if isinstance(value, int) else end})
        except ValueError as error:
            yield f'"{key}" = {end:g}: {_reason(error)}'


def _searchable(config: RunConfig) -> Iterator[str]:
    """The keys that can be searched: numbers of [train] and [model], and tasks' weights."""
    content = config.model_dump()
    for section in ("train", "model"):
        yield from (f"{section}.{key}" for key, value in content[section].items() if isinstance(value, int | float))
    yield from (f"spec.tasks.{task}.weight" for task in config.spec.tasks)


def _reason(error: ValueError) -> str:
    """The first sentence of pydantic's error message."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines[1:] if " " in line), lines[0]).removeprefix("Value error, ").split(" [type=")[0]
