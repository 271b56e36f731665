"""What is permuted together: raw columns, single features among several that read a column, and groups of columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from features.spec import FeatureSpec

Kind = Literal["column", "feature", "group"]
# The reason of a group whose columns can stand in for each other.
SIMILAR = "tell nearly the same"


@dataclass(frozen=True)
class Unit:
    """What is permuted together.

    Args:
        name: Its name; unique among those of its kind.
        kind: ``"column"`` for raw columns, with which every feature that reads them changes; ``"feature"`` for the
            input of one feature while others that read its columns keep theirs; ``"group"`` for columns that go
            together.
        columns: The raw columns.
        features: The features whose input changes.
        reason: Why a group's columns go together; empty otherwise.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    features: tuple[str, ...]
    reason: str = ""


def units(spec: FeatureSpec, associated: Sequence[tuple[str, ...]]) -> list[Unit]:
    """Everything that is permuted for a spec: columns, then features that share columns, then groups.

    Args:
        spec: Declares features and the columns that they read.
        associated: Groups of columns that tell nearly the same.
    """
    columns = [_of_columns(spec, atom) for atom in _atoms(spec)]
    several = [unit for unit in columns if len(unit.features) > 1]
    shared = dict.fromkeys(feature for unit in several for feature in unit.features)
    features = [Unit(name, "feature", tuple(spec.columns(name)), (name,)) for name in spec.features if name in shared]
    return [*columns, *features, *_groups(spec, columns, associated)]


def _atoms(spec: FeatureSpec) -> list[tuple[str, ...]]:
    """The columns, a list and the column of its entries' weights together: they have one length in every row."""
    found: dict[str, tuple[str, ...]] = {c: (c,) for name in spec.features for c in spec.columns(name)}
    for name, feature in spec.features.items():
        if feature.has_weights:
            together = tuple(dict.fromkeys(c for column in spec.columns(name) for c in found[column]))
            found |= dict.fromkeys(together, together)
    return list(dict.fromkeys(found.values()))


def _of_columns(spec: FeatureSpec, columns: tuple[str, ...]) -> Unit:
    return Unit(" + ".join(columns), "column", columns, _readers(spec, columns))


def _readers(spec: FeatureSpec, columns: Iterable[str]) -> tuple[str, ...]:
    wanted = {*columns}
    return tuple(name for name in spec.features if wanted & {*spec.columns(name)})


def _groups(spec: FeatureSpec, columns: Sequence[Unit], associated: Sequence[tuple[str, ...]]) -> Iterator[Unit]:
    """Groups of at least two units of columns; one that is found for several reasons has all of them."""
    unit_of = {column: place for place, unit in enumerate(columns) for column in unit.columns}
    reasons: dict[tuple[int, ...], list[str]] = {}
    for reason, members in (*_crossed(spec), *_sharing(spec), *((SIMILAR, group) for group in associated)):
        places = tuple(sorted({unit_of[column] for column in members}))
        if len(places) > 1:
            reasons.setdefault(places, []).append(reason)
    for places, found in reasons.items():
        together = tuple(column for place in places for column in columns[place].columns)
        name = " & ".join(columns[place].name for place in places)
        yield Unit(name, "group", together, _readers(spec, together), "; ".join(found))


def _crossed(spec: FeatureSpec) -> Iterator[tuple[str, Sequence[str]]]:
    for name, feature in spec.features.items():
        if not feature.has_weights and len(spec.columns(name)) > 1:
            yield f"`{name}` reads them all", spec.columns(name)


def _sharing(spec: FeatureSpec) -> Iterator[tuple[str, Sequence[str]]]:
    tables: dict[str, list[str]] = {}
    for name in spec.id_features:
        tables.setdefault(spec.table(name), []).append(name)
    for table, names in tables.items():
        if len(names) > 1:
            yield f"share the table `{table}`", [c for name in names for c in spec.columns(name)]
