"""Encoded rows in memory as tensors, and batches that are slices of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from features.encoder import GROUP, ID, LABEL, SAMPLE_WEIGHT, VALUE, WEIGHT
from features.errors import InputError
from features.request.form import Part
from features.spec import FeatureSpec
from models.embedding.cut import Bags
from models.transfer import sent
from pipeline.evaluation.ranking import NO_GROUP


@dataclass(frozen=True)
class Batch:
    """The inputs of a model, and the labels.

    Args:
        bags: Ids of every feature with a table.
        value_BV: Standardised numbers.
        labels_BT: 0, 1, or NaN where unknown; no columns when serving.
        weight_BT: Weight of each row in each task's loss; None where all rows count alike, and in evaluation.
        group_B: Number of each row's group, or :data:`pipeline.evaluation.ranking.NO_GROUP`; None where rows were not
            read for evaluation.
    """

    bags: Bags
    value_BV: Tensor
    labels_BT: Tensor
    weight_BT: Tensor | None = None
    group_B: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on a device, which is not waited for; groups stay where metrics are."""
        weight_BT = None if self.weight_BT is None else sent(self.weight_BT, device)
        value_BV, labels_BT = sent(self.value_BV, device), sent(self.labels_BT, device)
        return Batch(self.bags.to(device), value_BV, labels_BT, weight_BT, self.group_B)


@dataclass(frozen=True)
class Entries:
    """A multi-hot feature of some rows.

    Args:
        ids_E: Ids, one row after another.
        begin_M: Where each row's ids begin, and where the last row's end: one more number than rows.
        weight_E: Weights of the ids; None where no feature has weights.
    """

    ids_E: Tensor
    begin_M: Tensor
    weight_E: Tensor | None

    @classmethod
    def of(cls, frame: pl.DataFrame, name: str, spec: FeatureSpec) -> Entries:
        """A list column with the weights of its entries: the given ones, 1 each, or equal shares of 1 for a mean.

        Raises:
            InputError: If a row has more or fewer weights than ids: its weights would be those of the rows after it.
        """
        ids, weight_E = frame.get_column(ID + name), None
        if WEIGHT + name in frame.columns:
            weights = frame.get_column(WEIGHT + name)
            _check_lengths(name, ids, weights)
            weight_E = weights.explode(empty_as_null=False).to_torch()
        length_N = ids.list.len().cast(pl.Int64).to_torch()
        return cls._made(ids.explode(empty_as_null=False).to_torch(), length_N, weight_E, name, spec)

    @classmethod
    def of_part(cls, part: Part, name: str, spec: FeatureSpec) -> Entries:
        """A multi-hot feature of a request."""
        weight_E = None if part.weight_E is None else torch.from_numpy(part.weight_E)
        return cls._made(torch.from_numpy(part.known_ids), torch.from_numpy(part.length_N), weight_E, name, spec)

    @classmethod
    def _made(cls, ids_E: Tensor, length_N: Tensor, weight_E: Tensor | None, name: str, spec: FeatureSpec) -> Entries:
        begin_M = torch.cat([torch.zeros(1, dtype=torch.int64), length_N.cumsum(0)])
        if weight_E is None and spec.weighted:
            each_N = 1 / length_N.double() if spec.features[name].is_mean else torch.ones(len(length_N))
            weight_E = each_N.float().repeat_interleave(length_N)
        return cls(ids_E, begin_M, weight_E)

    def rows(self, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """The ids of neighbouring rows, the number of ids of each row, and the weights."""
        begin_M = self.begin_M[start : stop + 1]
        part = slice(int(begin_M[0]), int(begin_M[-1]))
        weight_E = None if self.weight_E is None else self.weight_E[part]
        return self.ids_E[part], begin_M.diff().to(torch.int32), weight_E


def _check_lengths(name: str, ids: pl.Series, weights: pl.Series) -> None:
    if differing := int((ids.list.len() != weights.list.len().fill_null(0)).sum()):
        fix = "data that older versions prepared may have such rows: mend them, remove the data and prepare it again"
        raise InputError(f"feature `{name}` has another number of weights than of entries in {differing} rows; {fix}")


@dataclass(frozen=True)
class Window:
    """Encoded rows as tensors.

    Args:
        ids_FN: Ids of the single-valued features.
        entries: Multi-hot feature to its ids.
        value_NV: Numbers.
        labels_NT: 0, 1, or NaN where unknown.
        weight_NT: Weight of each row in each task's loss; None if the frame had no sample weights.
        group_N: Number of each row's group, or :data:`pipeline.evaluation.ranking.NO_GROUP`; None if the frame had no
            groups.
        spec: Declares the features.
    """

    ids_FN: Tensor
    entries: dict[str, Entries]
    value_NV: Tensor
    labels_NT: Tensor
    weight_NT: Tensor | None
    group_N: Tensor | None
    spec: FeatureSpec

    @classmethod
    def of(cls, frame: pl.DataFrame, spec: FeatureSpec, tasks: Sequence[str]) -> Window:
        """Encoded columns as tensors."""
        lists = spec.multi_hot_features
        single = [pl.col(ID + n) for n in spec.id_features if n not in lists]
        return cls(
            ids_FN=_tensor(_columns(frame, single).T),
            entries={n: Entries.of(frame, n, spec) for n in lists},
            value_NV=_numbers(frame, [VALUE + n for n in spec.value_features]),
            labels_NT=_numbers(frame, [LABEL + n for n in tasks]),
            weight_NT=_sample_weights(frame, tasks),
            group_N=frame.get_column(GROUP).fill_null(NO_GROUP).to_torch() if GROUP in frame.columns else None,
            spec=spec,
        )

    @classmethod
    def of_parts(cls, parts: Mapping[str, Part], spec: FeatureSpec) -> Window:
        """A request's encoded rows as tensors.

        Args:
            parts: Feature to what it has of the rows, all of them in each part.
            spec: Declares the features.
        """
        rows = next(iter(parts.values())).rows
        lists = spec.multi_hot_features
        single = [parts[n].known_ids for n in spec.id_features if n not in lists]
        values = [value_N for n in spec.value_features if (value_N := parts[n].value_N) is not None]
        return cls(
            ids_FN=torch.from_numpy(np.stack(single) if single else np.empty((0, rows), np.int32)),
            entries={n: Entries.of_part(parts[n], n, spec) for n in lists},
            value_NV=torch.from_numpy(np.stack(values, axis=1) if values else np.empty((rows, 0), np.float32)),
            labels_NT=torch.empty(rows, 0),
            weight_NT=None,
            group_N=None,
            spec=spec,
        )

    def __len__(self) -> int:
        return len(self.value_NV)

    def batch(self, start: int, stop: int) -> Batch:
        """Neighbouring rows; numbers and labels are views of the window."""
        rows = slice(start, stop)
        weight_BT = None if self.weight_NT is None else self.weight_NT[rows]
        group_B = None if self.group_N is None else self.group_N[rows]
        return Batch(self._bags(start, stop), self.value_NV[rows], self.labels_NT[rows], weight_BT, group_B)

    def _bags(self, start: int, stop: int) -> Bags:
        """The bags of neighbouring rows, features one after another."""
        ids_FB = self.ids_FN[:, start:stop]
        if not self.entries:
            return Bags(ids_FB.reshape(-1), torch.ones(ids_FB.numel(), dtype=torch.int32))
        single, one_B = iter(ids_FB), torch.ones(stop - start, dtype=torch.int32)
        parts = [
            self.entries[name].rows(start, stop) if name in self.entries else (next(single), one_B, None)
            for name in self.spec.id_features
        ]
        weight_N = None
        if self.spec.weighted:
            each_B = torch.ones(stop - start)
            weight_N = torch.cat([each_B if w is None else w for _, _, w in parts])
        return Bags(torch.cat([ids for ids, _, _ in parts]), torch.cat([n for _, n, _ in parts]), weight_N)


def _sample_weights(frame: pl.DataFrame, tasks: Sequence[str]) -> Tensor | None:
    """Sample weights, rows x tasks, 1 for a task without; None where no task has any."""
    names = [SAMPLE_WEIGHT + task for task in tasks]
    if not set(names) & set(frame.columns):
        return None
    return _numbers(frame.with_columns(pl.lit(1.0).alias(n) for n in names if n not in frame.columns), names)


def _numbers(frame: pl.DataFrame, columns: Sequence[str]) -> Tensor:
    """The columns as float32, rows x columns, NaN where null."""
    return _tensor(_columns(frame, [pl.col(c).cast(pl.Float32).fill_null(float("nan")) for c in columns]))


def _columns(frame: pl.DataFrame, columns: Sequence[pl.Expr]) -> npt.NDArray[Any]:
    """The columns as an array, rows x columns, in column-major order; without columns, rows x 0."""
    if not columns:
        return np.empty((frame.height, 0), np.float32)
    return frame.select(columns).to_numpy(order="fortran", writable=True)


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    # In row-major order; numpy's copy from column-major order takes half of torch's time.
    return torch.from_numpy(np.ascontiguousarray(array))
