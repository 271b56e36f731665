"""The formats by the endings of files."""

from __future__ import annotations

from pathlib import Path

from pipeline.files.foreign import holds_parquet
from pipeline.ingestion.arrow_files import ArrowFile
from pipeline.ingestion.base import Format
from pipeline.ingestion.delimited import Delimited
from pipeline.ingestion.json_lines import JsonLines
from pipeline.ingestion.parquet_files import ParquetFile

FORMATS: tuple[Format, ...] = (Delimited(), JsonLines(), ArrowFile(), ParquetFile())
_PACKED = (".gz", ".bz2", ".zst", ".lz4")


def format_of(path: Path) -> Format | None:
    """The format of a file by its name, or Parquet if it has no ending and holds it; None if it has none of them."""
    if not path.suffix and holds_parquet(path):
        return ParquetFile()
    name = path.name.lower()
    plain = next((name.removesuffix(ending) for ending in _PACKED if name.endswith(ending)), name)
    return next((one for one in FORMATS if plain.endswith(one.endings)), None)


def stem_of(path: Path) -> str:
    """The name of a file without its endings."""
    return path.name.partition(".")[0] or "rows"
