"""The ids that a run knows: others of its tables, as ``[train.ids]`` says, are read as out of vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from features.encoder import ID, Encoder, Table
from features.transforms import FIRST_KNOWN, OUT_OF_VOCABULARY, PADDING
from models.architectures.base_config import OWNED_BY
from models.embedding.cut import Bags, Layout
from pipeline.config.train import TrainConfig
from pipeline.data.prepared import Prepared


class KnownIds:
    """Reads ids that a run does not know as out of vocabulary, in training and in evaluation alike.

    Prepared data keeps every id, and so do requests to a served model. :meth:`settled` therefore gives each row that
    was never read the weights of the out-of-vocabulary row: a network in plain torch then scores as this one does.

    Args:
        config: The section ``[train]``.
        encoder: The encoder, which has the tables.
        prepared: The data; its training rows are counted if a table has a ``min_count``.
        rank: The rank, which has a dropout of its own.
    """

    def __init__(self, config: TrainConfig, encoder: Encoder, prepared: Prepared, rank: int = 0) -> None:
        tables = encoder.tables()
        self._tables = [table for table in tables if table.name in config.ids]
        self._seed, self._layout = (config.seed, rank), Layout.of(tables)
        self._read_as: dict[str, Tensor] = {}
        for table in self._tables:
            declared, id_R = config.ids[table.name], torch.arange(table.rows, dtype=torch.int32)
            if declared.left_out:
                id_R[PADDING + 1 :] = OUT_OF_VOCABULARY
            elif declared.min_count > 1:
                is_rare_R = torch.from_numpy(_counts(table, prepared) < declared.min_count)
                is_rare_R[:FIRST_KNOWN] = False
                id_R[is_rare_R] = OUT_OF_VOCABULARY
            self._read_as[table.name] = id_R
        rate = {table.name: config.ids[table.name].dropout for table in self._tables}
        self._rate_F = torch.tensor([rate.get(table.name, 0.0) for table in tables for _ in table.features])
        self._row_R = torch.cat(
            [self._read_as.get(t.name, torch.arange(t.rows, dtype=torch.int32)) for t in tables if self._tables]
            or [torch.empty(0, dtype=torch.int32)]
        )

    def known(self, bags: Bags) -> Bags:
        """The bags of a batch on the CPU, with unknown ids out of vocabulary."""
        if not self._tables:
            return bags
        return replace(bags, ids_N=self._row_R[self._layout.row_N(bags)].to(bags.ids_N.dtype))

    def dropped(self, bags: Bags, step: int) -> Bags:
        """The bags of a training batch, with unknown ids and some known ones out of vocabulary.

        Args:
            bags: The bags, on the CPU.
            step: Number of the step: the draw depends on it and the seed alone, so that a resumed run draws the same.
        """
        known = self.known(bags)
        if not self._rate_F.any() or not len(known.ids_N):
            return known
        (seed,) = np.random.SeedSequence([*self._seed, step]).generate_state(1, np.uint64).tolist()
        generator = torch.Generator().manual_seed(seed >> 1)
        entries_F = known.lengths_FB.view(len(self._rate_F), -1).sum(1)
        rate_N = self._rate_F.repeat_interleave(entries_F, output_size=len(known.ids_N))
        is_out_N = (torch.rand(len(rate_N), generator=generator) < rate_N) & (known.ids_N >= FIRST_KNOWN)
        return replace(known, ids_N=known.ids_N.masked_fill(is_out_N, OUT_OF_VOCABULARY))

    def settled(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A network's plain state, in which rows of unknown ids equal the row that was read in their place.

        Copies of a table that are a task's own read the same ids.
        """
        rows = {table.weights_name: self._read_as[table.name] for table in self._tables}
        found = dict(state)
        for name, value in state.items():
            for part in {part.partition(OWNED_BY)[0] for part in name.split(".")} & rows.keys():
                found[name] = value[rows[part].to(value.device, torch.int64)]
        return found


def _counts(table: Table, prepared: Prepared) -> npt.NDArray[np.int64]:
    """Number of times that training rows have each id of a table."""
    found = np.zeros(table.rows, np.int64)
    rows = prepared.scan("train")
    for feature in table.features:
        ids = rows.select(pl.col(ID + feature).alias("id"))
        flat = ids.explode("id") if isinstance(ids.collect_schema()["id"], pl.List) else ids
        counts = flat.drop_nulls().group_by("id").len().collect()
        found[counts.get_column("id").to_numpy()] += counts.get_column("len").to_numpy()
    return found
