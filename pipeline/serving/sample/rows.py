"""Scored rows of a sample, from their tensors to the columns of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import torch

from features.encoder import ID, VALUE, WEIGHT
from features.request.encoder import Encoded
from features.spec import FeatureSpec
from pipeline.data.windows import Window

# Columns of a file beside those of prepared data: the scores by output, and the number of a row's request in its file.
SCORE, REQUEST = "score.", "request"

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SampledRows:
    """Rows of one request, or of one part of a file.

    Args:
        window: The rows as the model read them.
        score_KO: Their scores.
        is_request: Whether they are of one request; rows of a file count as requests of one row each.
    """

    window: Window
    score_KO: npt.NDArray[np.float64]
    is_request: bool

    @classmethod
    def of(
        cls, rows: Window | Encoded, score_NO: npt.NDArray[np.float64], place_K: Places, spec: FeatureSpec
    ) -> SampledRows:
        """The chosen rows of a request.

        Args:
            rows: All its rows.
            score_NO: Their scores.
            place_K: The places of the chosen rows.
            spec: Declares the features.
        """
        are_all = len(place_K) == len(score_NO)
        if isinstance(rows, Encoded):
            window = Window.of_parts((rows.whole() if are_all else rows.taken(place_K)).parts, spec)
        else:
            window = rows if are_all else rows.taken(torch.from_numpy(place_K))
        return cls(window, score_NO[place_K], is_request=True)


def frame_of(sampled: Sequence[SampledRows], spec: FeatureSpec, outputs: Sequence[str]) -> pl.DataFrame:
    """The columns of a file: those of prepared data without labels, scores, and the number of each row's request.

    Args:
        sampled: Rows of one model, at least one.
        spec: Declares its features.
        outputs: The names of its scores.
    """
    windows = [one.window for one in sampled]
    lists = set(spec.multi_hot_features)
    id_FK, value_KV = torch.cat([one.ids_FN for one in windows], 1), torch.cat([one.value_NV for one in windows])
    single = iter(id_FK.numpy())
    columns: list[pl.Series] = []
    for name in spec.id_features:
        columns += _lists(name, windows, spec) if name in lists else [pl.Series(ID + name, next(single))]
    columns += [pl.Series(VALUE + name, value_KV[:, n].numpy()) for n, name in enumerate(spec.value_features)]
    score_KO = np.concatenate([one.score_KO for one in sampled])
    columns += [pl.Series(SCORE + name, score_KO[:, n]) for n, name in enumerate(outputs)]
    return pl.DataFrame([*columns, pl.Series(REQUEST, _requests(sampled))])


def _lists(name: str, windows: Sequence[Window], spec: FeatureSpec) -> list[pl.Series]:
    """The ids of a multi-hot feature, and the weights that the raw rows give."""
    entries = [one.entries[name] for one in windows]
    length_K = torch.cat([one.begin_M.diff() for one in entries]).numpy()
    begin_M = np.concatenate([[0], length_K.cumsum()])
    id_E = torch.cat([one.ids_E for one in entries]).numpy()
    found = [_list(ID + name, begin_M, id_E)]
    if spec.features[name].has_weights:
        weight_E = torch.cat([one.weight_E for one in entries if one.weight_E is not None]).numpy()
        found.append(_list(WEIGHT + name, begin_M, weight_E))
    return found


def _list(name: str, begin_M: Places, entry_E: npt.NDArray[np.generic]) -> pl.Series:
    return pl.Series(name, pa.LargeListArray.from_arrays(pa.array(begin_M, pa.int64()), pa.array(entry_E)))


def _requests(sampled: Sequence[SampledRows]) -> Places:
    numbers, first = [], 0
    for one in sampled:
        rows = len(one.window)
        numbers.append(np.full(rows, first) if one.is_request else np.arange(first, first + rows))
        first += 1 if one.is_request else rows
    return np.concatenate(numbers)
