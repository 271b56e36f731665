"""The kind of sharding of each table, by its size or its name; no torch is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from features.encoder import Table
from features.errors import InputError

Kind = Literal["row_wise", "table_wise", "column_wise", "data_parallel"]

_FEW, _COPIED_BY_FEW, _COPIED_BY_MANY, _DIVIDED = 4, 20_000_000, 10_000, 4_000_000  # ranks, and weights of a table


@dataclass(frozen=True, kw_only=True)
class Sharding:
    """The rule that spreads tables over ranks.

    Args:
        row_wise_from: Number of weights from which a table's rows are divided among all ranks; a smaller table is whole
            on one rank, and so is a table with too few rows to give every rank some. None for 4 million of those tables
            that are not copied.
        data_parallel_below: Number of weights below which every rank has a copy of the table, which it reads without an
            exchange. None for 20 million on up to four ranks, and 10,000 on more, but never beyond ``row_wise_from``:
            what copies have read is told to all ranks, and each steps all of it.
        kinds: Table name to its kind, whatever its size. ``"column_wise"`` is never chosen by size.

    Raises:
        ValueError: If the thresholds are out of order or a kind is unknown.
    """

    row_wise_from: int | None = None
    data_parallel_below: int | None = None
    kinds: Mapping[str, Kind] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        below, divided = self.data_parallel_below, self.row_wise_from
        if not 0 <= (below or 0) <= (below or 0 if divided is None else divided):
            found = f"{below} and {divided}"
            raise ValueError(f"`data_parallel_below` should be from 0 up to `row_wise_from`. Found {found}.")
        if unknown := {name: kind for name, kind in self.kinds.items() if kind not in get_args(Kind)}:
            raise ValueError(f"`kinds` should be {', '.join(get_args(Kind))}. Found `{unknown}`.")

    def kinds_of(self, tables: Sequence[Table], ranks: int) -> dict[str, Kind]:
        """The kind of each table on a number of ranks, by its name.

        Raises:
            InputError: If ``kinds`` names unknown tables. All are listed.
        """
        if strangers := [f"`{name}`" for name in self.kinds if name not in {table.name for table in tables}]:
            raise InputError.of("a sharding should name existing tables", strangers)
        return {table.name: self.kind(table, ranks) for table in tables}

    def kind(self, table: Table, ranks: int) -> Kind:
        """The kind of a table on a number of ranks."""
        weights, below, divided = table.rows * table.width, self.data_parallel_below, self.row_wise_from
        if below is None:
            by_ranks = _COPIED_BY_FEW if ranks <= _FEW else _COPIED_BY_MANY
            below = by_ranks if divided is None else min(by_ranks, divided)
        by_size: Kind = "row_wise" if weights >= (_DIVIDED if divided is None else divided) else "table_wise"
        kind = self.kinds.get(table.name, "data_parallel" if weights < below else by_size)
        # fbgemm on the CPU confuses a shard without rows with the next table and steps that at the wrong width.
        return "table_wise" if kind == "row_wise" and -(-table.rows // ranks) * (ranks - 1) >= table.rows else kind
