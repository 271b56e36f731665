"""Scored rows of a sample, from their tensors to the columns of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from features.encoder import ID, VALUE, WEIGHT
from features.request.encoder import Encoded
from features.spec import FeatureSpec
from pipeline.data.windows import Window

# Columns of a file beside those of prepared data: the scores by output, and the number of a row's request in its file.
SCORE, REQUEST = "score.", "request"

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Lists:
    """The entries of a multi-hot feature.

    Args:
        id_E: Ids, one row after another.
        length_K: The number of ids of each row.
        weight_E: The weight of each id.
    """

    id_E: npt.NDArray[np.int32]
    length_K: Places
    weight_E: npt.NDArray[np.float32] | None

    def taken(self, place_K: Places) -> Lists:
        """Those of some rows, by their places."""
        begin_K, length_K = (self.length_K.cumsum() - self.length_K)[place_K], self.length_K[place_K]
        first_K = length_K.cumsum() - length_K
        entry_E = np.repeat(begin_K - first_K, length_K) + np.arange(length_K.sum())
        return Lists(self.id_E[entry_E], length_K, None if self.weight_E is None else self.weight_E[entry_E])


@dataclass(frozen=True, eq=False)
class SampledRows:
    """Rows of one request, or of one part of a file.

    Args:
        id_FK: The ids of the single-valued features.
        lists: Multi-hot feature to its entries.
        value_VK: The numbers.
        score_KO: The scores.
        is_request: Whether the rows are of one request; rows of a file count as requests of one row each.
    """

    id_FK: npt.NDArray[np.int32]
    lists: Mapping[str, Lists]
    value_VK: npt.NDArray[np.float32]
    score_KO: npt.NDArray[np.float64]
    is_request: bool

    def __len__(self) -> int:
        return len(self.score_KO)

    @classmethod
    def of(
        cls,
        rows: Window | Encoded,
        score_NO: npt.NDArray[np.float64],
        place_K: Places,
        spec: FeatureSpec,
        *,
        is_request: bool = True,
    ) -> SampledRows:
        """The drawn rows of a request or of a part.

        Args:
            rows: All its rows as the model read them.
            score_NO: Their scores.
            place_K: The places of the drawn rows.
            spec: Declares the features.
            is_request: As for the class.
        """
        drawn = _of_parts(rows, place_K, spec) if isinstance(rows, Encoded) else _of_window(rows, place_K)
        return cls(*drawn, score_NO[place_K], is_request)


_Drawn = tuple[npt.NDArray[np.int32], dict[str, Lists], npt.NDArray[np.float32]]


def _of_window(window: Window, place_K: Places) -> _Drawn:
    lists = {}
    for name, one in window.entries.items():
        weight_E = None if one.weight_E is None else one.weight_E.numpy()
        lists[name] = Lists(one.ids_E.numpy(), np.diff(one.begin_M.numpy()), weight_E).taken(place_K)
    return window.ids_FN.numpy()[:, place_K], lists, window.value_NV.numpy()[place_K].T


def _of_parts(encoded: Encoded, place_K: Places, spec: FeatureSpec) -> _Drawn:
    """The drawn rows of a request whose parts may be of the one row that all have in common."""
    first_K, lists = np.zeros_like(place_K), dict[str, Lists]()
    ids, values = [np.empty((0, len(place_K)), np.int32)], [np.empty((0, len(place_K)), np.float32)]
    for name in spec.id_features:
        part = encoded.parts[name]
        own_K = place_K if part.rows == encoded.rows else first_K
        if part.length_N is None:
            ids.append(part.known_ids[None, own_K])
        else:
            lists[name] = Lists(part.known_ids, part.length_N, part.weight_E).taken(own_K)
    for name in spec.value_features:
        part = encoded.parts[name]
        assert part.value_N is not None, "a feature with a number"
        values.append(part.value_N[None, place_K if part.rows == encoded.rows else first_K])
    return np.concatenate(ids), lists, np.concatenate(values)


def frame_of(sampled: Sequence[SampledRows], spec: FeatureSpec, outputs: Sequence[str]) -> pl.DataFrame:
    """The columns of a file: those of prepared data without labels, scores, and the number of each row's request.

    Args:
        sampled: Rows of one model, at least one.
        spec: Declares its features.
        outputs: The names of its scores.
    """
    multi = set(spec.multi_hot_features)
    single = iter(np.concatenate([one.id_FK for one in sampled], axis=1))
    columns: list[pl.Series] = []
    for name in spec.id_features:
        columns += _lists(name, sampled, spec) if name in multi else [pl.Series(ID + name, next(single))]
    values = np.concatenate([one.value_VK for one in sampled], axis=1)
    columns += [pl.Series(VALUE + name, value_K) for name, value_K in zip(spec.value_features, values, strict=True)]
    scores = np.concatenate([one.score_KO for one in sampled]).T
    columns += [pl.Series(SCORE + name, score_K) for name, score_K in zip(outputs, scores, strict=True)]
    return pl.DataFrame([*columns, pl.Series(REQUEST, _requests(sampled))])


def _lists(name: str, sampled: Sequence[SampledRows], spec: FeatureSpec) -> list[pl.Series]:
    """The ids of a multi-hot feature, and the weights that the raw rows give."""
    lists = [one.lists[name] for one in sampled]
    begin_M = np.concatenate([[0], np.concatenate([one.length_K for one in lists]).cumsum()])
    found = [_list(ID + name, begin_M, np.concatenate([one.id_E for one in lists]))]
    if spec.features[name].has_weights:
        weights = [one.weight_E for one in lists if one.weight_E is not None]
        found.append(_list(WEIGHT + name, begin_M, np.concatenate(weights)))
    return found


def _list(name: str, begin_M: Places, entry_E: npt.NDArray[np.generic]) -> pl.Series:
    return pl.Series(name, pa.LargeListArray.from_arrays(pa.array(begin_M, pa.int64()), pa.array(entry_E)))


def _requests(sampled: Sequence[SampledRows]) -> Places:
    numbers, first = [], 0
    for one in sampled:
        rows = len(one)
        numbers.append(np.full(rows, first) if one.is_request else np.arange(first, first + rows))
        first += 1 if one.is_request else rows
    return np.concatenate(numbers)
