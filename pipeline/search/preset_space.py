"""The space of a preset: conditional dimensions whose choices become a config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from features.encoder import Table
from gradops.methods import parse
from models.architectures import ARCHITECTURES
from pipeline.config.run import RunConfig
from pipeline.search.best import STATIC, Subject, dimensions, first_points
from pipeline.search.choice import Choice, Draw, Fixed
from pipeline.search.dimensions import AS_WRITTEN, Number, applies
from pipeline.search.method_options import name_of, with_options

# Keys of [model] that another architecture takes from the config as it is written, if it has them.
_COMMON = ("embedding_std", "interaction", "encoding", "ensemble", "tower", "dropout")


class PresetSpace:
    """The space of the preset ``best``. A :class:`pipeline.search.choice.SearchSpace`.

    Args:
        config: The config, with its section ``[search]``.
        tables: The tables of its data, which decide what is searched of ids.
        rows: Number of training rows, which decides what batches are tried.
    """

    def __init__(self, config: RunConfig, tables: Sequence[Table], rows: int) -> None:
        self._config, self._subject = config, Subject(config, tables, rows)
        self._dimensions = dimensions(self._subject)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The dimensions: a later version may have others, and the sampler could not go on from these."""
        return {dimension.name: dimension.identity for dimension in self._dimensions}

    @property
    def usual(self) -> Mapping[str, Any]:
        """Each dimension's usual value."""
        return {dimension.name: dimension.usual for dimension in self._dimensions}

    def choose(self, draw: Draw) -> Choice:
        """The choice of a trial; its ``params`` have what differs from the config as it is written."""
        chosen: Fixed = {}
        values: dict[str, Any] = {}
        for dimension in self._dimensions:
            if applies(dimension, chosen):
                chosen[dimension.name] = dimension.drawn(draw)
                values |= dimension.values(chosen[dimension.name])
        method = self._method(values.pop("method"), chosen)
        params = self.shown(chosen)
        del params["method"]
        if chosen["method"] == STATIC:
            params = {"weights": "static", **params}
        return Choice(method, params, self._sections(chosen["kind"], values))

    def shown(self, chosen: Mapping[str, Any]) -> dict[str, float | str]:
        """The method of a choice, and what else differs from the config as it is written."""
        found: dict[str, float | str] = {}
        for dimension in self._dimensions:
            value = chosen.get(dimension.name, AS_WRITTEN)
            is_usual = value == AS_WRITTEN or (value == dimension.usual and not dimension.when)
            if dimension.name == "method" or not is_usual:
                is_option = isinstance(dimension, Number) and not dimension.is_key
                found[dimension.name.partition(".")[2] if is_option else dimension.name] = value
        return found

    def prescribed(self) -> list[Fixed]:
        """The first points, then the sampler's."""
        first, trials = first_points(self._subject), self._config.search.trials
        return (first + [{} for _ in range(trials - len(first))])[:trials]

    def _method(self, text: str, chosen: Fixed) -> str:
        """The method with its chosen options."""
        method = parse(text)
        prefix = f"{name_of(method)}."
        options = {
            d.name.removeprefix(prefix): chosen[d.name]
            for d in self._dimensions
            if isinstance(d, Number) and not d.is_key and d.name in chosen
        }
        return with_options(method, options)

    def _sections(self, kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values by the keys that a config is changed by: ``[model]`` and ``[train.ids]`` as wholes."""
        written = self._subject.written
        common = [key for key in _COMMON if key in written and key in ARCHITECTURES[kind].model_fields]
        model = written if kind == written["kind"] else {"kind": kind, **{key: written[key] for key in common}}
        ids = {name: rule.model_dump() for name, rule in self._config.train.ids.items()}
        found: dict[str, Any] = {}
        for key, value in values.items():
            section, _, name = key.partition(".")
            if section == "model":
                model = {**model, name: value}
            elif key.startswith("train.ids."):
                ids[key.removeprefix("train.ids.")] = value
            else:
                found[key] = value
        return {**found, "model": model, "train.ids": ids}
