"""An encoder of requests as files, without code in them: forms as JSON, vocabularies as Parquet.

A client reads them with this package alone: it needs numpy and pyarrow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.request import listed, measured, numbering, single, times
from features.request.encoder import FeatureForm, RequestEncoder
from features.request.inputs import Inputs
from features.request.vocabulary import Vocabulary

FORMS, VOCABULARIES = "forms.json", "vocabularies.parquet"
# The parts of forms that a file may name.
_CLASSES: dict[str, type] = {
    known.__name__: known
    for known in (
        single.Single,
        single.Crossed,
        single.TimePart,
        listed.Listed,
        listed.Separated,
        measured.Measured,
        measured.Hours,
        numbering.LookedUp,
        numbering.Hashed,
        times.Clock,
        FeatureForm,
        Inputs,
        RequestEncoder,
    )
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {known.__name__: known for known in (listed.whole_lists, measured.number)}


@dataclass(frozen=True, eq=False)
class SavedEncoder:
    """What a client needs of an encoder.

    Args:
        encoder: Encodes requests.
        inputs: Makes the network's arrays of encoded rows.
    """

    encoder: RequestEncoder
    inputs: Inputs

    def save(self, folder: Path) -> None:
        """Write both files.

        Raises:
            ValueError: If a feature's form has a part that this package does not have. All are listed.
        """
        writer = _Writer()
        content = {"encoder": writer.written(self.encoder), "inputs": writer.written(self.inputs)}
        if writer.unknown:
            raise ValueError(f"{', '.join(dict.fromkeys(writer.unknown))}: no part of `features.request`")
        (folder / FORMS).write_text(json.dumps(content, indent=1))
        numbers = [number for number, known in enumerate(writer.vocabularies) for _ in known.names]
        names = [name for known in writer.vocabularies for name in known.names]
        table = pa.table({"vocabulary": pa.array(numbers, pa.int32()), "name": pa.array(names, pa.large_string())})
        pq.write_table(table, folder / VOCABULARIES)

    @classmethod
    def load(cls, folder: Path) -> SavedEncoder:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError, KeyError, TypeError: If the files hold something else.
        """
        content = json.loads((folder / FORMS).read_text())
        table = pq.read_table(folder / VOCABULARIES)
        number_N, names = table["vocabulary"].to_numpy(), table["name"].to_pylist()
        known: dict[int, list[str]] = {}
        for number, name in zip(number_N.tolist(), names, strict=True):
            known.setdefault(number, []).append(name)
        reader = _Reader(known)
        return cls(reader.read(content["encoder"]), reader.read(content["inputs"]))


class _Writer:
    """Turns an encoder into values of JSON, and keeps its vocabularies."""

    def __init__(self) -> None:
        self.vocabularies: list[Vocabulary] = []
        self.unknown: list[str] = []

    def written(self, value: Any) -> Any:
        """A value of JSON's types."""
        if isinstance(value, Vocabulary):
            return self._vocabulary(value)
        if is_dataclass(value):
            name = self._known(type(value), _CLASSES)
            return {"class": name, "keys": {f.name: self.written(getattr(value, f.name)) for f in fields(value)}}
        if callable(value):
            return {"function": self._known(value, _FUNCTIONS)}
        if isinstance(value, Mapping):
            return {"entries": {name: self.written(entry) for name, entry in value.items()}}
        return _plain(value)

    def _vocabulary(self, value: Vocabulary) -> dict[str, int]:
        if all(value is not known for known in self.vocabularies):
            self.vocabularies.append(value)
        number = next(n for n, known in enumerate(self.vocabularies) if known is value)
        return {"vocabulary": number, "naming": value.naming}

    def _known(self, value: Any, known: Mapping[str, Any]) -> str:
        """The name of a class or a function; one that no file may name is noted."""
        name = str(getattr(value, "__name__", type(value).__name__))
        if known.get(name) is not value:
            self.unknown.append(f"{getattr(value, '__module__', type(value).__module__)}.{name}")
        return name


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"numbers": value.astype(np.float64).tolist()}
    if isinstance(value, frozenset):
        return {"set": sorted(value)}
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


class _Reader:
    """Turns them back.

    Args:
        known: The names of each vocabulary.
    """

    def __init__(self, known: Mapping[int, Sequence[str]]) -> None:
        self._names = known
        self._vocabularies: dict[int, Vocabulary] = {}
        self._kinds: dict[str, Callable[[Any, Any], Any]] = {
            "vocabulary": lambda number, whole: self._vocabulary(number, whole["naming"]),
            "class": lambda name, whole: _CLASSES[name](**{n: self.read(one) for n, one in whole["keys"].items()}),
            "function": lambda name, _: _FUNCTIONS[name],
            "entries": lambda entries, _: {name: self.read(entry) for name, entry in entries.items()},
            "numbers": lambda numbers, _: np.array(numbers, np.float64),
            "set": lambda entries, _: frozenset(entries),
        }

    def read(self, value: Any) -> Any:
        """What was written; sequences are tuples."""
        if isinstance(value, dict):
            (kind, content), *_ = value.items()
            return self._kinds[kind](content, value)
        return tuple(value) if isinstance(value, list) else value

    def _vocabulary(self, number: int, naming: int) -> Vocabulary:
        if number not in self._vocabularies:
            self._vocabularies[number] = Vocabulary(self._names.get(number, ()), naming)
        return self._vocabularies[number]
