"""The features of an embedding divided among parts, each of which reads some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import torch
from torch import Tensor

from models.embedding.cut import Bags


@dataclass(frozen=True)
class _Run:
    """Features that stand together and belong to one part.

    Args:
        part: The part.
        features: Their places among all features.
        columns: Number of their pooled columns.
    """

    part: int
    features: slice
    columns: int


class FeatureParts:
    """The division of features among parts.

    Args:
        widths: The pooled columns of each feature, in their order.
        part_F: The number of each feature's part.
    """

    def __init__(self, widths: Sequence[int], part_F: Sequence[int]) -> None:
        self._runs = []
        for part, run in groupby(range(len(part_F)), key=lambda feature: part_F[feature]):
            places = [*run]
            features = slice(places[0], places[-1] + 1)
            self._runs.append(_Run(part, features, sum(widths[features])))

    def bags(self, bags: Bags) -> dict[int, Bags]:
        """The bags that each part reads, by its number."""
        if len(self._runs) == 1:
            return {self._runs[0].part: bags}
        features = self._runs[-1].features.stop
        start_F = [0, *accumulate(bags.entries(features))]
        entries = [slice(start_F[run.features.start], start_F[run.features.stop]) for run in self._runs]
        return {part: self._of_part(part, bags, entries) for part in sorted({run.part for run in self._runs})}

    def _of_part(self, part: int, bags: Bags, entries: Sequence[slice]) -> Bags:
        mine = [(run.features, entry) for run, entry in zip(self._runs, entries, strict=True) if run.part == part]
        features = self._runs[-1].features.stop

        def of_features(value_FB: Tensor) -> Tensor:
            return torch.cat([value_FB.view(features, -1)[run].flatten() for run, _ in mine])

        return Bags(
            torch.cat([bags.ids_N[entry] for _, entry in mine]),
            of_features(bags.lengths_FB),
            None if bags.weight_N is None else torch.cat([bags.weight_N[entry] for _, entry in mine]),
            None if bags.known_FB is None else of_features(bags.known_FB),
            bags.most_rows,
            None if bags.most_entries_F is None else [n for run, _ in mine for n in bags.most_entries_F[run]],
        )

    def joined(self, pooled: dict[int, Tensor]) -> Tensor:
        """The pooled columns of all features in their order, from those of each part."""
        if len(self._runs) == 1:
            return pooled[self._runs[0].part]
        pieces = {
            part: iter(value.split([run.columns for run in self._runs if run.part == part], dim=1))
            for part, value in pooled.items()
        }
        return torch.cat([next(pieces[run.part]) for run in self._runs], dim=1)
