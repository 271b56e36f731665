"""A full disk is known by whatever words a library tells it in, and ends a command with one line."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
from collections import namedtuple
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from safetensors import SafetensorError

from features.errors import InputError
from pipeline.files.atomic import atomic
from pipeline.files.disk import is_full
from tests.commands import run
from tests.pipeline.small_shop import ROWS, shop_log, write, write_config

ENOSPC = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (ENOSPC, True),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), True),
        (sqlite3.OperationalError("database or disk is full"), True),
        (SafetensorError("I/O error: No space left on device (os error 28)"), True),
        (pl.exceptions.ComputeError("parquet: File out of specification: Invalid thrift: transport error"), False),
        (OSError(errno.EACCES, os.strerror(errno.EACCES)), False),
        (InputError("there is no space left on device 7 of the log"), False),
    ],
)
def test_a_full_disk_is_known_by_the_words_of_each_library(error: Exception, full: bool) -> None:
    assert is_full(error) == full


def test_the_error_behind_an_error_counts() -> None:
    error = ValueError("not written")
    error.__cause__ = ENOSPC
    assert is_full(error)


def fill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every disk look full."""
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 0))


def test_an_error_of_a_write_to_a_full_disk_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polars tells of a transport error."""

    def write_part(error: Exception) -> None:
        with atomic(Path("scores/part.parquet")) as draft:
            draft.write_text("half")
            raise error

    transport = pl.exceptions.ComputeError("Invalid thrift: transport error")
    with pytest.raises(pl.exceptions.ComputeError):
        write_part(transport)
    fill(monkeypatch)
    with pytest.raises(OSError, match="No space left") as caught:
        write_part(transport)
    assert caught.value.filename == "scores/part.parquet"
    with pytest.raises(InputError):
        write_part(InputError("a column is missing"))
    assert not list(Path("scores").iterdir())


def test_prepare_on_a_full_disk_is_one_line_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    write(shop_log())
    write_config()
    sink = pl.DataFrame.write_parquet

    def fail(self: pl.DataFrame, target: Any, **options: Any) -> None:
        if "val" in str(target):
            raise pl.exceptions.ComputeError("Invalid thrift: transport error")
        sink(self, target, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "write_parquet", fail)
        fill(patch)
        code, out, err = run("prepare", "shop.toml")
    assert (code, out) == (1, "")
    config, error = err.splitlines()
    assert config == "config: shop.toml"
    assert error.startswith("error: the disk is full at prepared/")
    assert error.endswith("what was finished is kept: free some space, and the same command goes on from there")
    code, out, _ = run("prepare", "shop.toml", "--json")
    assert code == 0
    assert {name: split["rows"] for name, split in json.loads(out)["splits"].items()} == ROWS
