"""The exchanges of a step on several ranks: the formulas of docs/scale.md.

Shapes: F features, T tasks, K widths of tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from features.encoder import Table
from models.embedding.copied import DENSE_BELOW
from models.embedding.sharding_kinds import Kind

ExchangeKind = Literal["all-gather", "all-reduce", "all-to-all", "reduce-scatter"]

_NUMBER, _WIDE, _INDEX = 4, 8, 4  # bytes of float32, of float64 and int64, and of an id


@dataclass(frozen=True)
class Exchange:
    """One exchange of all ranks.

    Args:
        kind: Its kind.
        content: What it carries.
        bytes: Size of what a rank hands in.
        often: The share of the steps that make it.
    """

    kind: ExchangeKind
    content: str
    bytes: float
    often: float = 1.0

    def leaving(self, ranks: int) -> float:
        """Bytes that leave a rank: a sum is scattered, then gathered; what is gathered goes to every other rank."""
        others = ranks - 1
        share = {"all-gather": others, "all-reduce": 2 * others / ranks}.get(self.kind, others / ranks)
        return share * self.bytes


@dataclass(frozen=True)
class StepShape:
    """The sizes that a step's exchanges depend on.

    Args:
        ranks: Number of ranks.
        rows: Rows of the batch that one rank has.
        tasks: Number of tasks.
        shared: Weights of the network that tasks share, tables apart.
        network: All weights of the network, tables apart.
        tables: The tables.
        kinds: The kind of each table by its name.
        entries: Mean number of entries a row of each table's features together, by the table's name.
        distinct: Number of distinct rows of tables that a rank reads, by their width; tables that tasks share.
        features: Number of features in the log.
        weighted: Whether entries have weights.
        apart: The share of the steps that take the gradient of each task by itself.
    """

    ranks: int
    rows: float
    tasks: int
    shared: int
    network: int
    tables: Sequence[Table]
    kinds: Mapping[str, Kind]
    entries: Mapping[str, float]
    distinct: Mapping[int, int]
    features: int
    weighted: bool
    apart: float

    def exchanges(self) -> list[Exchange]:
        """All exchanges of a step."""
        return [*self._header(), *self._network(), *self._gramian(), *self._divided(), *self._copies()]

    def _header(self) -> Iterator[Exchange]:
        yield Exchange("all-gather", "sums of labels, sizes, interruptions", _WIDE * (self.tasks + 2 + self.features))

    def _network(self) -> Iterator[Exchange]:
        weights = self.network + self.apart * (self.tasks - 1) * self.shared
        yield Exchange("all-reduce", "gradients of the network, losses", _NUMBER * (weights + self.tasks))

    def _gramian(self) -> Iterator[Exchange]:
        if not self.apart:
            return
        rows, numbers = sum(self.distinct.values()), sum(width * rows for width, rows in self.distinct.items())
        each = "for the Gram matrix: "
        if rows:
            widths = len(self.distinct)
            yield Exchange("all-to-all", each + "numbers of rows", _WIDE * self.ranks * widths, self.apart)
            yield Exchange("all-to-all", each + "rows", _INDEX * rows, self.apart)
            yield Exchange("all-to-all", each + "their gradients", _NUMBER * self.tasks * numbers, self.apart)
        yield Exchange("all-reduce", each + "products", _WIDE * self.tasks**2 * max(len(self.distinct), 1), self.apart)

    def _copies(self) -> Iterator[Exchange]:
        copies = [table for table in self.tables if self.kinds[table.name] == "data_parallel"]
        if not copies:
            return
        small = [table for table in copies if table.rows * table.width < DENSE_BELOW]
        large = [table for table in copies if table not in small]
        dense = _NUMBER * sum(table.rows * table.width for table in small)
        # Of each entry its row, its place, perhaps its weight; and the number of entries for each width.
        read = (2 * _INDEX + _NUMBER * self.weighted) * self.rows * sum(self.entries[table.name] for table in large)
        counts = _WIDE * len({table.width for table in large})
        cotangents = _NUMBER * self.rows * _columns(large)
        yield Exchange("all-gather", "gradients of copied tables", dense + read + counts + cotangents)

    def _divided(self) -> Iterator[Exchange]:
        """The exchanges of TorchRec, which makes some for each kind of table."""
        for kind in ("row_wise", "table_wise", "column_wise"):
            tables = [table for table in self.tables if self.kinds[table.name] == kind]
            if tables:
                yield from self._of_kind(kind, tables)

    def _of_kind(self, kind: Kind, tables: Sequence[Table]) -> Iterator[Exchange]:
        # Every rank that has rows of a table gets the lengths of all its bags, that has columns all its entries, too.
        lengths = self.ranks if kind == "row_wise" else 1
        pieces = {t.name: min(t.width // 4, self.ranks) if kind == "column_wise" else 1 for t in tables}
        bags = lengths * self.rows * sum(pieces[t.name] * len(t.features) for t in tables)
        entries = self.rows * sum(pieces[t.name] * self.entries[t.name] for t in tables)
        name = kind.replace("_", "-")
        yield Exchange("all-to-all", f"{name} tables: sizes", _WIDE * (2 + self.weighted) * self.ranks)
        yield Exchange("all-to-all", f"{name} tables: lengths", _INDEX * bags)
        yield Exchange("all-to-all", f"{name} tables: ids", _INDEX * entries)
        if self.weighted:
            yield Exchange("all-to-all", f"{name} tables: weights", _NUMBER * entries)
        pooled = _NUMBER * self.rows * _columns(tables)
        if kind == "row_wise":
            yield Exchange("reduce-scatter", f"{name} tables: pooled embeddings", self.ranks * pooled)
            yield Exchange("all-gather", f"{name} tables: cotangents", pooled)
        else:
            yield Exchange("all-to-all", f"{name} tables: pooled embeddings", pooled)
            yield Exchange("all-to-all", f"{name} tables: cotangents", pooled)


def _columns(tables: Sequence[Table]) -> int:
    return sum(len(table.features) * table.width for table in tables)
