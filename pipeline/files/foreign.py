"""Names of things that are not read: tables of other formats, object stores, text files; each with a way out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from pathlib import Path

from pipeline.files.redaction import without_passwords

_URI = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
_TEXTS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".txt")
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_MAGIC = b"PAR1"

# The schemes of stores from which rows are imported, and other names of theirs.
_STORES = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs", "az": "az"}

_OLD_ROWS = "its folder also holds files of rows that were removed or replaced"
_TABLES = {
    "Iceberg": 'in polars: `pl.scan_iceberg("TABLE").sink_parquet("rows/part.parquet", mkdir=True)`',
    "Hudi": 'in Spark: `spark.read.format("hudi").load("TABLE").write.parquet("rows")`',
}


def parse_store(text: str) -> tuple[str, str] | None:
    """Scheme, and bucket and key, of a URI from which rows are imported; None for any other text."""
    found = _URI.match(text)
    scheme = _STORES.get(found[1].lower()) if found else None
    return (scheme, text[found.end() :].rstrip("/")) if found and scheme else None


def uri_problem(text: str) -> str | None:
    """The problem of a path that no folder of this machine has by its form: a URI, or a home folder as ``~``."""
    if found := _URI.match(text):
        scheme, text = found[1].lower(), without_passwords(text)
        if scheme == "file":
            return f"`{text}` is a URI; write the path alone, without `file://`"
        if scheme in _STORES:
            rule = "and rows are read from files of this machine"
            return f"`{text}` is at a store ({scheme}), {rule}; import them: `{_import(text)}`"
        fix = "copy them here, or mount the store as a folder, and give that path"
        return f"`{text}` is at a store ({scheme}), and rows are read from files of this machine; {fix}"
    if text.startswith("~"):
        return f"`{text}` is read as it is written, and `~` is no folder; write `{Path(text).expanduser()}`"
    return None


def text_problem(path: Path) -> str | None:
    """The problem of a file that was named by the user and is text, by its ending and its content."""
    endings = [ending.lower() for ending in path.suffixes]
    kind = next((e for e in reversed(endings) if e not in _PACKED), "")
    if kind not in _TEXTS or holds_parquet(path):
        return None
    return f"{path} is text ({kind}), and rows are read from Parquet files only; convert it: `{_import(str(path))}`"


def table_problem(folder: Path, names: Collection[str]) -> str | None:
    """The problem of a folder that holds a table of another format, whose files are not all of its rows.

    Args:
        folder: The folder.
        names: The names in it.
    """
    kind, mark = None, ""
    if "_delta_log" in names:
        kind, mark = "Delta", "_delta_log"
    elif ".hoodie" in names:
        kind, mark = "Hudi", ".hoodie"
    elif "metadata" in names and any((folder / "metadata").glob("*.metadata.json")):
        kind, mark = "Iceberg", "metadata/*.metadata.json"
    if kind is None:
        return None
    if kind == "Delta":
        fix = f"import its present rows: `{_import(str(folder))}`"
    else:
        fix = f"write the present rows to a folder, {_TABLES[kind].replace('TABLE', str(folder))}"
    article = "an" if kind == "Iceberg" else "a"
    return f"{folder} is {article} {kind} table (it has `{mark}`): {_OLD_ROWS}; {fix}"


def _import(source: str) -> str:
    """The command that makes Parquet of a source, in a folder called like the last name in it that is no pattern."""
    names = [name for name in re.split(r"/+", source) if name and not re.search(r"[*?[:=]", name)]
    stem = names[-1].partition(".")[0] if names else ""
    return shlex.join(["gradops", "import", source, f"{stem or 'rows'}-parquet"])


def holds_parquet(path: Path) -> bool:
    """Whether a file begins and ends as Parquet does, whatever its name; False if it cannot be read."""
    try:
        with path.open("rb") as stream:
            begins = stream.read(4) == _MAGIC
            return begins and stream.seek(-4, 2) >= 4 and stream.read(4) == _MAGIC
    except OSError:
        return False
