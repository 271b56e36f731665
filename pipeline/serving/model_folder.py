"""Checks a model's folder before anything in it is read, because it may come from an untrusted place."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyarrow import ArrowException
from safetensors import SafetensorError, safe_open

from features.errors import InputError
from pipeline.files.atomic import sha256_file

MODEL, WEIGHTS, ENCODER, MANIFEST = "model.json", "weights.safetensors", "encoder", "manifest.json"
VOCABULARY = f"{ENCODER}/vocabulary.parquet"
_FILES = (MODEL, WEIGHTS, f"{ENCODER}/encoder.json", VOCABULARY)
_MEBIBYTE = 1 << 20
# Limits of files that are read whole as JSON. An encoder's has bucket edges: 4096 numbers a feature at most.
_MOST_BYTES = {MODEL: _MEBIBYTE, f"{ENCODER}/encoder.json": 64 * _MEBIBYTE, MANIFEST: _MEBIBYTE}
_UNPACKED = 100  # a vocabulary's texts unpack to a few times their bytes, a decompression bomb to thousands
_SHOWN = 10
_COLUMNS = {"table": "string", "id": "int32", "value": "string"}


def seal(folder: Path) -> None:
    """Write the manifest of a model's folder: size and SHA-256 of each of its files."""
    files = {name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)} for name in _FILES}
    (folder / MANIFEST).write_text(json.dumps({"files": files}, indent=1))


def check_folder(folder: Path) -> str:
    """Make sure that a folder holds exactly a model's files, each with the sealed content.

    Returns:
        The SHA-256 of the manifest, which covers all files.

    Raises:
        InputError: If it does not. Only the manifest, and files with their sealed content, were parsed.
    """
    for found in (_misplaced, _oversized, _changed, _inconsistent):
        if problems := found(folder):
            fix = "register the model again, or fetch it again from where it was registered"
            raise InputError.of(f"{folder} is not a model as it was packaged; {fix}", problems)
    return sha256_file(folder / MANIFEST)


def _misplaced(folder: Path) -> list[str]:
    """Unexpected and missing files. No link is followed, no file opened."""
    if not folder.is_dir():
        return ["it is not a folder"]
    wanted = {*_FILES, MANIFEST}
    problems = []
    for path in sorted((*folder.iterdir(), *(folder / ENCODER).glob("*"))):
        name = str(path.relative_to(folder))
        mode = path.lstat().st_mode
        if name == ENCODER and stat.S_ISDIR(mode):
            continue
        if name not in wanted:
            problems.append(f"`{name}` is no part of a model")
        elif not stat.S_ISREG(mode):
            problems.append(f"`{name}` is no regular file")
        wanted.discard(name)
        if len(problems) == _SHOWN:
            break
    return problems + [f"`{name}` is missing" for name in sorted(wanted)]


def _oversized(folder: Path) -> list[str]:
    sizes = {name: (folder / name).stat().st_size for name in _MOST_BYTES}
    return [f"`{n}` has {sizes[n]} bytes, more than {most}" for n, most in _MOST_BYTES.items() if sizes[n] > most]


def _changed(folder: Path) -> list[str]:
    try:
        sealed: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())["files"]
        expected = {name: (sealed[name]["bytes"], sealed[name]["sha256"]) for name in _FILES}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return [f"`{MANIFEST}` does not say what the files are ({error!r})"]
    problems = []
    for name, (size, digest) in expected.items():
        found = (folder / name).stat().st_size
        if found != size:
            problems.append(f"`{name}` has {found} bytes, and had {size} when it was packaged")
        elif sha256_file(folder / name) != digest:
            problems.append(f"`{name}` is not what was packaged: its SHA-256 differs")
    return problems


def _inconsistent(folder: Path) -> list[str]:
    """Contradictions between headers and files' sizes or other headers: even a sealed folder may have false headers."""
    try:
        with safe_open(folder / WEIGHTS, framework="numpy") as weights:
            shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError) as error:
        return [f"`{WEIGHTS}` is no safetensors file ({error})"]
    try:
        vocabulary = pq.read_metadata(folder / VOCABULARY)
    except (ArrowException, OSError) as error:
        return [f"`{VOCABULARY}` is no Parquet file ({str(error).partition(chr(10))[0]})"]
    rows, size = sum(shape[0] for shape in shapes if shape), (folder / VOCABULARY).stat().st_size
    unpacked = sum(vocabulary.row_group(group).total_byte_size for group in range(vocabulary.num_row_groups))
    columns = {field.name: str(field.type).removeprefix("large_") for field in vocabulary.schema.to_arrow_schema()}
    problems = []
    if columns != _COLUMNS:
        problems.append(f"`{VOCABULARY}` has the columns {columns}, not {_COLUMNS}")
    if vocabulary.num_rows > rows:
        problems.append(f"`{VOCABULARY}` declares {vocabulary.num_rows} values, the weights have {rows} rows for them")
    if unpacked > _UNPACKED * size + _MEBIBYTE:
        problems.append(f"`{VOCABULARY}` unpacks from {size} to {unpacked} bytes, more than {_UNPACKED} times as many")
    return problems
