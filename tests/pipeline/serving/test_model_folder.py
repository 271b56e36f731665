"""Tampered model folders: each is refused with the problem named; nothing is followed, run or allocated."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from features.errors import InputError
from pipeline.registry.packaging import fetched
from pipeline.serving.scorer import Scorer
from tests.pipeline.serving.conftest import Models
from tests.pipeline.serving.lying_folders import assert_refused

WEIGHTS, ENCODER = "weights.safetensors", "encoder/encoder.json"
VOCABULARY = "encoder/vocabulary.parquet"


@pytest.fixture
def folder(models: Models, tmp_path: Path) -> Path:
    with fetched(models("plain").uri) as found:
        return Path(shutil.copytree(found, tmp_path / "scorer"))


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch evil",)


def linked(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder.parent / WEIGHTS)
    (folder / WEIGHTS).symlink_to(folder.parent / WEIGHTS)


def linked_folder(folder: Path) -> None:
    shutil.move(folder / "encoder", folder.parent / "encoder")
    (folder / "encoder").symlink_to(folder.parent / "encoder")


def piped(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)


def emptied(folder: Path) -> None:
    (folder / ENCODER).unlink()
    (folder / ENCODER).mkdir()


def with_pickle(folder: Path) -> None:
    (folder / "model.pkl").write_bytes(pickle.dumps(Evil()))


def pickled_weights(folder: Path) -> None:
    torch.save(Evil(), folder / WEIGHTS)


def other_bytes(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def many_files(folder: Path) -> None:
    for number in range(1000):
        (folder / f"part-{number}").touch()


def manifest(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)


def elsewhere(folder: Path) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    content["files"]["../../etc/passwd"] = content["files"].pop(WEIGHTS)
    manifest(folder, json.dumps(content))


UNSEALED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link": (linked, f"`{WEIGHTS}` is no regular file"),
    "a linked folder": (linked_folder, "`encoder` is no part of a model"),
    "a pipe": (piped, f"`{WEIGHTS}` is no regular file"),
    "a pickle beside": (with_pickle, "`model.pkl` is no part of a model"),
    "a pickle for weights": (pickled_weights, f"`{WEIGHTS}` has"),
    "a folder for a file": (emptied, f"`{ENCODER}` is no regular file"),
    "a thousand files": (many_files, "`part-0` is no part of a model"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), f"`{WEIGHTS}` is missing"),
    "cut weights": (lambda f: os.truncate(f / WEIGHTS, 1000), "has 1000 bytes, and had"),
    "a wrong bit": (other_bytes, "its SHA-256 differs"),
    "a manifest of another place": (elsewhere, "does not say what the files are"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "`manifest.json` is missing"),
    "half a manifest": (lambda f: manifest(f, '{"files": {'), "does not say what the files are"),
    "a deep manifest": (lambda f: manifest(f, "[" * 100_000), "does not say what the files are"),
    "a long manifest": (lambda f: os.truncate(f / "manifest.json", 1 << 40), "`manifest.json` has 1099511627776 bytes"),
}


@pytest.mark.parametrize("name", UNSEALED)
def test_a_folder_that_is_not_as_it_was_packaged_is_refused(folder: Path, name: str) -> None:
    spoil, message = UNSEALED[name]
    spoil(folder)
    with pytest.raises(InputError, match=r"is not a model as it was packaged") as error:
        Scorer.load(folder)
    assert message in str(error.value)
    assert not Path("evil").exists()


def header(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Another safetensors header over the same bytes."""
    content = (folder / WEIGHTS).read_bytes()
    size = int.from_bytes(content[:8], "little")
    found = json.loads(content[8 : 8 + size])
    change(found)
    text = json.dumps(found).encode()
    (folder / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])


def tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def text(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))


def vocabulary(folder: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    change(pl.read_parquet(folder / VOCABULARY)).write_parquet(folder / VOCABULARY)


def buckets(content: dict[str, Any], number: int) -> None:
    content["spec"]["features"]["user"]["buckets"] = number


def huge(header: dict[str, Any]) -> None:
    header[next(name for name in header if "table_" in name)]["shape"] = [10**9, 10**9]


BOMB = pl.DataFrame({"table": ["items"], "id": [3], "value": ["x" * 20_000_000]}, schema_overrides={"id": pl.Int32})

SEALED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pickle sealed for weights": (pickled_weights, "is no safetensors file"),
    "a header longer than the file": (lambda f: (f / WEIGHTS).write_bytes(b"\xff" * 100), "is no safetensors file"),
    "a huge tensor declared": (lambda f: header(f, huge), "is no safetensors file"),
    "weights of another network": (
        lambda f: tensors(f, lambda t: t | {"more": torch.ones(1)}),
        "the weights of another network",
    ),
    "doubles": (lambda f: tensors(f, lambda t: {n: v.double() for n, v in t.items()}), "not there in float32"),
    "NaN weights": (
        lambda f: tensors(f, lambda t: {n: v * torch.nan for n, v in t.items()}),
        "NaN or infinite weights",
    ),
    "a huge table declared": (lambda f: text(f, ENCODER, lambda c: buckets(c, 10**12)), "expected [1000000000003"),
    "a table beyond numbers": (lambda f: text(f, ENCODER, lambda c: buckets(c, 10**30)), "sizes exceed"),
    "a layer of units beyond memory": (
        lambda f: text(f, "model.json", lambda c: c["network"].update(bottom=[10**9])),
        "the weights of another network",
    ),
    "no task": (lambda f: text(f, "model.json", lambda c: c.update(tasks=[])), "is not a readable model"),
    "an unknown key": (lambda f: text(f, "model.json", lambda c: c.update(code="x")), "is not a readable model"),
    "no JSON": (lambda f: (f / ENCODER).write_text("import os"), "is not a readable model"),
    "deep JSON": (lambda f: (f / ENCODER).write_text("[" * 1_000_000), "is not a readable model"),
    "no Parquet": (lambda f: (f / VOCABULARY).write_bytes(b"PAR1" * 100), "is no Parquet file"),
    "other columns": (lambda f: vocabulary(f, lambda v: v.rename({"id": "number"})), "has the columns"),
    "more values than weights": (
        lambda f: vocabulary(f, lambda v: pl.concat([v] * 1000)),
        "values, the weights have",
    ),
    "a value of 20 MB in a few KB": (lambda f: vocabulary(f, lambda _: BOMB), "more than 100 times as many"),
}


@pytest.mark.parametrize("name", SEALED)
def test_a_folder_that_is_sealed_and_lies_is_refused(folder: Path, name: str) -> None:
    spoil, message = SEALED[name]
    assert_refused(folder, spoil, message)
    assert not Path("evil").exists()


def test_what_is_sealed_is_what_the_manifest_says(folder: Path) -> None:
    digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert Scorer.load(folder).digest == digest
