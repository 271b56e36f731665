"""Writers' habits: a table written as Spark, Hive, pandas, DuckDB or a person would, and the same table in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from hypothesis import strategies as st

CONFIG = """
name = "shop"
[data]
train = "{train}"
prepared = "{prepared}"
{partitions}
[split]
key = "click"
validation = 0.3
test = 0.3
[contract]
empty_days = true
leak_auc = 0
[spec]
group = "user"
[spec.features]
item = {{ kind = "categorical" }}
user = {{ kind = "categorical", buckets = 7 }}
price = {{ kind = "numeric", buckets = 3 }}
tags = {{ kind = "multi_hot" }}
hour = {{ kind = "time", column = "at", part = "hour" }}
{feature}
[spec.tasks]
buy = {{ positive = "bought = 1" }}
"""

Rows = list[dict[str, Any]]
_SMALL = st.integers(-100, 100)
ROW = st.fixed_dictionaries(
    {
        "item": st.none() | st.sampled_from(["a", "b", "11", ""]),
        "user": st.none() | _SMALL,
        "price": st.none() | _SMALL,
        "tags": st.none() | st.lists(st.none() | st.integers(0, 3), min_size=2, max_size=2),
        "at": st.none() | st.integers(0, 10_000).map(lambda n: datetime(2026, 1, 1) + timedelta(minutes=n)),
        "bought": st.none() | st.integers(0, 1),
        "place": st.none() | st.sampled_from(["NL", "a b", "x/y", "k=v"]),
    }
)
# For each column the types that a writer may have for the same values.
TYPES: dict[str, list[pl.DataType]] = {
    "item": [pl.String(), pl.Categorical(), pl.Enum(["", "a", "b", "11"])],
    "user": [pl.Int64(), pl.Int8(), pl.Float64(), pl.Int16()],
    "price": [pl.Int64(), pl.Float64(), pl.Float32(), pl.Int32(), pl.Decimal(12, 2)],
    "tags": [pl.List(pl.Int64()), pl.Array(pl.Int64(), 2), pl.List(pl.Int8()), pl.List(pl.UInt32())],
    "at": [pl.Datetime("us"), pl.Datetime("ms"), pl.Datetime("ns")],
    "bought": [pl.Int64(), pl.Int8(), pl.Float64(), pl.UInt8()],
    "place": [pl.String()],
}
PLAIN = pl.Schema({"click": pl.Int64(), **{name: kinds[0] for name, kinds in TYPES.items()}})
FOLDERS = st.sampled_from(["", "deep/er", "x[1]", "part.parquet", "_k=1", "sp ace"])
ENDINGS = st.sampled_from([".parquet", ".pq", ".PARQUET", ".snappy.parquet", ""])


def rows_in_memory(parts: list[Rows]) -> pl.DataFrame:
    """The whole table: every row once, numbered, in plain types."""
    rows = [row for part in parts for row in part]
    return pl.DataFrame([{"click": n, **row} for n, row in enumerate(rows)], schema=PLAIN)


class Habits:
    """Draws how a table is written, and writes it.

    Args:
        draw: Draws from a strategy.
        root: Folder of the table.
    """

    def __init__(self, draw: Any, root: Path) -> None:
        self._draw, self._root = draw, root
        self.partitioned = draw(st.booleans())

    def write(self, number: int, frame: pl.DataFrame) -> None:
        """Write one file, and perhaps rubbish beside it; a partitioned one is split by its column."""
        if not self.partitioned:
            self._file(number, "", frame)
            return
        for n, ((place,), part) in enumerate(frame.group_by("place", maintain_order=True)):
            value = "__HIVE_DEFAULT_PARTITION__" if place is None else _quoted(str(place))
            self._file(100 * number + n, f"place={value}", part.drop("place"))

    def _file(self, number: int, partition: str, frame: pl.DataFrame) -> None:
        folder = self._folder(number, self._draw(FOLDERS)) / partition
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"part-{number}{self._draw(ENDINGS)}"
        self._write(path, self._typed(frame))
        rubbish = [folder / "_SUCCESS", folder / f".{path.name}.crc", folder / "_temporary" / path.name]
        if self._draw(st.booleans()):
            rubbish[-1].parent.mkdir(exist_ok=True)
            for one in rubbish:
                one.write_bytes(path.read_bytes())

    def _folder(self, number: int, name: str) -> Path:
        if not self._draw(st.integers(0, 3)):  # a link to another disk
            disk, link = self._root.with_name("disk") / str(number), self._root / f"link-{number}"
            (disk / name).mkdir(parents=True)
            self._root.mkdir(exist_ok=True)
            link.symlink_to(disk.resolve())
            return link / name
        return self._root / name

    def _typed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The same values in types of this file's own, columns in any order, and perhaps some of nobody's."""
        for name in frame.columns:
            values = frame.get_column(name)
            if name in TYPES and name != "place":
                empty = values.null_count() == frame.height and self._draw(st.booleans())
                kind = pl.Null() if empty else self._draw(st.sampled_from(TYPES[name]))
                frame = frame.with_columns(values.cast(kind))
        if self._draw(st.booleans()):
            frame = frame.with_columns(__index_level_0__=pl.int_range(pl.len()), extra=pl.lit("x"))
        return frame.select(self._draw(st.permutations(frame.columns)))

    def _write(self, path: Path, frame: pl.DataFrame) -> None:
        if self._draw(st.booleans()):
            size = self._draw(st.sampled_from([1, 7, 1000]))
            pq.write_table(
                frame.to_arrow(),
                path,
                row_group_size=size,
                use_dictionary=self._draw(st.booleans()),
                data_page_size=self._draw(st.sampled_from([1, 1 << 20])),
                compression=self._draw(st.sampled_from(["snappy", "zstd", "none"])),
            )
        else:
            frame.write_parquet(path, row_group_size=self._draw(st.sampled_from([1, 5, 512])))


def _quoted(text: str) -> str:
    return text.replace("/", "%2F").replace("=", "%3D")
