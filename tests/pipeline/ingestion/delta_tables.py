"""Delta tables for tests, and deletion vectors, which deltalake reads and does not write."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable, write_deltalake

_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
CLICKS = pl.DataFrame(
    {
        "id": range(6),
        "dt": [date(2026, 1, 1 + n // 3) for n in range(6)],
        "country": ["N L/x", "a=b", None] * 2,
        "at": [datetime(2026, 1, 1, n) for n in range(6)],
        "tags": [[n] for n in range(6)],
    }
)


def write_clicks(folder: Path) -> pl.DataFrame:
    """Write rows in partitions whose values need an escape, then a further column, and then remove rows.

    Returns:
        The rows that are present.
    """
    write_deltalake(folder, CLICKS.to_arrow(), partition_by=["dt", "country"])
    later = CLICKS.with_columns(pl.col("id") + 10, price=0.5)
    write_deltalake(folder, later.to_arrow(), mode="append", schema_mode="merge")
    DeltaTable(folder).delete("id = 11 or id = 2")
    return pl.concat([CLICKS, later], how="diagonal").filter(~pl.col("id").is_in([2, 11]))


def commit(folder: Path, actions: Sequence[dict[str, Any]]) -> None:
    """Add a commit to a table's log."""
    number = len([*(folder / "_delta_log").glob("*.json")])
    (folder / f"_delta_log/{number:020}.json").write_text("\n".join(map(json.dumps, actions)))


def actions(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The actions of a kind in a table's log."""
    lines = [line for path in sorted((folder / "_delta_log").glob("*.json")) for line in path.read_text().splitlines()]
    return [action[kind] for action in map(json.loads, lines) if kind in action]


def remove_rows(folder: Path, rows: Sequence[int]) -> None:
    """Remove rows of a table of one file by a deletion vector within the log.

    A roaring bitmap of one array container, in the 64 bit form and the text of Delta's protocol.
    """
    container = struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16) + struct.pack(f"<{len(rows)}H", *rows)
    data = struct.pack("<IQI", 1681511377, 1, 0) + container
    vector = {"storageType": "i", "pathOrInlineDv": _z85(data), "sizeInBytes": len(data), "cardinality": len(rows)}
    features = ["deletionVectors", "timestampNtz"]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}
    (add,) = actions(folder, "add")
    removed = {"path": add["path"], "deletionTimestamp": 1, "dataChange": True}
    commit(folder, [{"protocol": protocol}, {"remove": removed}, {"add": add | {"deletionVector": vector}}])


def _z85(data: bytes) -> str:
    padded = data + bytes(-len(data) % 4)
    numbers = [int.from_bytes(padded[n : n + 4], "big") for n in range(0, len(padded), 4)]
    return "".join(_Z85[number // 85**power % 85] for number in numbers for power in (4, 3, 2, 1, 0))
