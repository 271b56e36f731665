"""Checks a model's folder before anything in it is read, because it may come from an untrusted place."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyarrow import ArrowException
from safetensors import SafetensorError, safe_open

from features.errors import InputError
from pipeline.files.atomic import sha256_file

MODEL, ENCODER, MANIFEST = "model.json", "encoder", "manifest.json"
VOCABULARY = f"{ENCODER}/vocabulary.parquet"
# The files of every model, whatever its kind.
_ENCODER_FILES = (f"{ENCODER}/encoder.json", VOCABULARY)
COMMON = (MODEL, *_ENCODER_FILES)
_MEBIBYTE = 1 << 20
# Limits of files that are read whole as JSON. An encoder's has bucket edges: 4096 numbers a feature at most.
_MOST_BYTES = {MODEL: _MEBIBYTE, f"{ENCODER}/encoder.json": 64 * _MEBIBYTE}
_UNPACKED = 100  # a vocabulary's texts unpack to a few times their bytes, a decompression bomb to thousands
_VALUES_A_BYTE = 8  # a value has a text and a number of its own, which hardly pack into one byte
_SHOWN = 10
_MOST_FILES = 1000
# Names that a manifest may have: relative, of plain words, so that none leads out of the folder.
_NAME = re.compile(r"([a-z0-9_-]{1,64}/){0,3}[a-z0-9_-]{1,64}\.(json|safetensors|parquet)")
_COLUMNS = {"table": "string", "id": "int32", "value": "string"}

Sealed = Mapping[str, tuple[int, str]]


def seal(folder: Path) -> None:
    """Write the manifest of a model's folder: size and SHA-256 of each of its files."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    # In the order that the first manifests had, so that equal models have equal digests.
    names = [MODEL, *sorted(found - {*COMMON}), *_ENCODER_FILES]
    files = {name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)} for name in names}
    (folder / MANIFEST).write_text(json.dumps({"files": files}, indent=1))


def check_folder(folder: Path) -> str:
    """Make sure that a folder holds exactly the files that its manifest names, each with the sealed content.

    Returns:
        The SHA-256 of the manifest, which covers all files.

    Raises:
        InputError: If it does not. Only the manifest, and files with their sealed content, were parsed.
    """
    if problems := [*_problems(folder)]:
        fix = "register the model again, or fetch it again from where it was registered"
        raise InputError.of(f"{folder} is not a model as it was packaged; {fix}", problems)
    return sha256_file(folder / MANIFEST)


def other_files(folder: Path) -> set[str]:
    """The names in the manifest of a checked folder that only its kind of model has."""
    return {*_sealed(folder)} - {*COMMON}


def _problems(folder: Path) -> Sequence[str]:
    """The problems of the first check that finds any: a later check relies on the earlier ones."""
    if problems := _unreadable(folder):
        return problems
    try:
        sealed = _sealed(folder)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return [f"`{MANIFEST}` does not say what the files are ({error!r})"]
    for found in (_misplaced, _oversized, _changed, _inconsistent):
        if problems := found(folder, sealed):
            return problems
    return []


def _unreadable(folder: Path) -> list[str]:
    """The reasons why the manifest cannot be read. No link is followed, no file opened."""
    if not folder.is_dir():
        return ["it is not a folder"]
    try:
        found = (folder / MANIFEST).lstat()
    except FileNotFoundError:
        return [f"`{MANIFEST}` is missing"]
    if not stat.S_ISREG(found.st_mode):
        return [f"`{MANIFEST}` is no regular file"]
    too_long = found.st_size > _MEBIBYTE
    return [f"`{MANIFEST}` has {found.st_size} bytes, more than {_MEBIBYTE}"] if too_long else []


def _sealed(folder: Path) -> Sealed:
    """Name of each file to its sealed size and SHA-256.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, RecursionError: If the manifest does not say them.
    """
    files: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())["files"]
    if wrong := [name[:100] for name in files if not _NAME.fullmatch(name)]:
        raise ValueError(f"it names {wrong[0]!r}, which is no file of a model")
    if lacking := sorted({*COMMON} - files.keys()):
        raise ValueError(f"it lacks {lacking[0]!r}")
    if len(files) > _MOST_FILES:
        raise ValueError(f"it names {len(files)} files, more than {_MOST_FILES}")
    return {name: (found["bytes"], found["sha256"]) for name, found in files.items()}


def _misplaced(folder: Path, wanted: Sealed | Sequence[str]) -> list[str]:
    """Unexpected and missing files. No link is followed, no file opened."""
    names, problems = {*wanted, MANIFEST}, []
    missing = set(names)
    for path in _entries(folder, folder, {str(parent) for name in names for parent in Path(name).parents}):
        name = str(path.relative_to(folder))
        if name not in names:
            problems.append(f"`{name}` is no part of a model")
        elif not stat.S_ISREG(path.lstat().st_mode):
            problems.append(f"`{name}` is no regular file")
        missing.discard(name)
        if len(problems) == _SHOWN:
            break
    return problems + [f"`{name}` is missing" for name in sorted(missing)]


def _entries(top: Path, folder: Path, parents: set[str]) -> Iterator[Path]:
    """What lies in a folder and, below it, in the folders that are expected."""
    for path in sorted(folder.iterdir()):
        if str(path.relative_to(top)) in parents and stat.S_ISDIR(path.lstat().st_mode):
            yield from _entries(top, path, parents)
        else:
            yield path


def _oversized(folder: Path, sealed: Sealed) -> list[str]:
    sizes = {name: (folder / name).stat().st_size for name in sealed if name.endswith(".json")}
    most = {name: _MOST_BYTES.get(name, _MEBIBYTE) for name in sizes}
    return [f"`{n}` has {size} bytes, more than {most[n]}" for n, size in sizes.items() if size > most[n]]


def _changed(folder: Path, sealed: Sealed) -> list[str]:
    problems = []
    for name, (size, digest) in sealed.items():
        found = (folder / name).stat().st_size
        if found != size:
            problems.append(f"`{name}` has {found} bytes, and had {size} when it was packaged")
        elif sha256_file(folder / name) != digest:
            problems.append(f"`{name}` is not what was packaged: its SHA-256 differs")
    return problems


def _inconsistent(folder: Path, sealed: Sealed) -> list[str]:
    """Contradictions between headers and files' sizes or other headers: even a sealed folder may have false headers."""
    weights = [name for name in sealed if name.endswith(".safetensors")]
    if unreadable := [
        f"`{name}` is no safetensors file ({error})" for name in weights if (error := _no_tensors(folder / name))
    ]:
        return unreadable
    try:
        vocabulary = pq.read_metadata(folder / VOCABULARY)
    except (ArrowException, OSError) as error:
        return [f"`{VOCABULARY}` is no Parquet file ({str(error).partition(chr(10))[0]})"]
    size = (folder / VOCABULARY).stat().st_size
    unpacked = sum(vocabulary.row_group(group).total_byte_size for group in range(vocabulary.num_row_groups))
    columns = {field.name: str(field.type).removeprefix("large_") for field in vocabulary.schema.to_arrow_schema()}
    declared, problems = f"`{VOCABULARY}` declares {vocabulary.num_rows} values", []
    if columns != _COLUMNS:
        problems.append(f"`{VOCABULARY}` has the columns {columns}, not {_COLUMNS}")
    rows = [_rows(folder / name) for name in weights if Path(name).name.startswith("weights")]
    if rows and vocabulary.num_rows > max(rows):
        problems.append(f"{declared}, the weights have {max(rows)} rows for them")
    if vocabulary.num_rows > _VALUES_A_BYTE * size:
        problems.append(f"{declared} in {size} bytes")
    if unpacked > _UNPACKED * size + _MEBIBYTE:
        problems.append(f"`{VOCABULARY}` unpacks from {size} to {unpacked} bytes, more than {_UNPACKED} times as many")
    return problems


def _no_tensors(file: Path) -> str:
    """The reason why a file is no safetensors file; empty if it is one."""
    try:
        _rows(file)
    except (SafetensorError, OSError) as error:
        return str(error) or type(error).__name__
    return ""


def _rows(file: Path) -> int:
    """Number of rows of all tensors of a safetensors file."""
    with safe_open(file, framework="numpy") as tensors:
        shapes = [tensors.get_slice(key).get_shape() for key in tensors.keys()]  # noqa: SIM118  # no mapping
    return sum(shape[0] for shape in shapes if shape)
