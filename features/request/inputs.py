"""The arrays that an exported network reads of encoded rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from features.request.encoder import Encoded
from features.request.form import Part

IDS, OFFSETS, WEIGHTS, VALUES = "ids", "offsets", "weights", "values"


@dataclass(frozen=True)
class Inputs:
    """Makes them.

    Args:
        ids: The features with ids, in the order of the network.
        values: The features with a number, in its order.
        means: Those features of several ids a row whose ids count as equal shares of 1, not 1 each.
        weighted: Whether the network reads a weight for each id.
    """

    ids: tuple[str, ...]
    values: tuple[str, ...]
    means: tuple[str, ...]
    weighted: bool

    def of(self, encoded: Encoded) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name, of B rows and F features with ids.

        Returns:
            ``ids``: int32, the ids of all rows of the first feature, row by row, then those of the next. ``offsets``:
            int64, where the ids of each row of each feature begin, F B numbers, and then the number of all ids.
            ``values``: float32, B x V. ``weights``: float32, the weight of each id; only where the network reads them.
        """
        parts = encoded.whole().parts
        lengths = [_lengths(parts[name]) for name in self.ids]
        values = [value_N for name in self.values if (value_N := parts[name].value_N) is not None]
        found: dict[str, npt.NDArray[Any]] = {
            IDS: np.concatenate([parts[name].known_ids for name in self.ids]),
            OFFSETS: np.concatenate([np.zeros(1, np.int64), np.concatenate(lengths).cumsum()]),
            VALUES: np.stack(values, axis=1) if values else np.empty((encoded.rows, 0), np.float32),
        }
        if self.weighted:
            found[WEIGHTS] = np.concatenate([*self._weights(parts)])
        return found

    def _weights(self, parts: Mapping[str, Part]) -> Iterator[npt.NDArray[np.float32]]:
        for name in self.ids:
            part = parts[name]
            if part.weight_E is not None:
                yield part.weight_E
            elif name in self.means:
                length_N = _lengths(part)
                yield (1 / length_N).astype(np.float32).repeat(length_N)
            else:
                yield np.ones(len(part.known_ids), np.float32)


def _lengths(part: Part) -> npt.NDArray[np.int64]:
    return np.ones(part.rows, np.int64) if part.length_N is None else part.length_N.astype(np.int64)
