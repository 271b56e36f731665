"""Files of one content are rows that count twice."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from features.errors import InputError
from pipeline.data.prepare import prepare
from pipeline.files.content import find_copies
from tests.commands import run
from tests.pipeline.small_shop import ROWS, shop_config, shop_log, write


def link() -> None:
    Path("logs/z.parquet").symlink_to("part-0.parquet")


def hard_link() -> None:
    os.link("logs/part-0.parquet", "logs/z.parquet")


def copied() -> None:
    shutil.copyfile("logs/part-0.parquet", "logs/z.parquet")


def linked_folder() -> None:
    Path("logs/inner").mkdir()
    shutil.move("logs/part-0.parquet", "logs/inner/part-0.parquet")
    Path("logs/zinner").symlink_to("inner")


@pytest.mark.parametrize("twice", [link, hard_link, copied, linked_folder], ids=lambda lay: lay.__name__)
def test_a_file_that_is_there_twice_is_an_error_that_names_both(twice: Callable[[], None]) -> None:
    write(shop_log())
    twice()
    with pytest.raises(InputError) as error:
        prepare(shop_config())
    first, second = ("logs/inner/part-0.parquet", "logs/zinner/part-0.parquet") if twice is linked_folder else (
        "logs/part-0.parquet", "logs/z.parquet")  # fmt: skip
    words = "have the same content" if twice is copied else "are one file, by a link"
    assert f"{first} and {second} {words}, so each of its rows would count 2 times; remove" in str(error.value)


def test_a_file_of_both_roles_is_an_error() -> None:
    write(shop_log(), "logs/a.parquet")
    write(shop_log(), "held/b.parquet")
    config = shop_config(None, None, "data.holdout='held'", "split.validation=0.5", "split.test=0.5")
    with pytest.raises(InputError, match=r"logs/a\.parquet and held/b\.parquet have the same content"):
        prepare(config)


def test_files_without_rows_may_be_equal() -> None:
    write(shop_log())
    for number in range(3):
        write(shop_log().clear(), f"logs/empty-{number}.parquet")
    assert prepare(shop_config(None, None, "contract.empty_days=true")).rows == ROWS


def test_files_of_one_size_are_told_apart() -> None:
    rows = shop_log()[["click_id"]]
    for number in range(3):
        write(rows[1000 * number : 1000 * number + 1000], f"logs/{number}.parquet")
    assert list(find_copies(sorted(Path("logs").iterdir()))) == []


def test_events_are_not_labelled_twice() -> None:
    write(shop_log(), "events/a.parquet")
    shutil.copyfile("events/a.parquet", "events/b.parquet")
    code, _, err = run("label", "events", "--event", "country", "--click", "NL", "--ignore", "DE,FR")
    assert code == 2
    assert "events/a.parquet and events/b.parquet have the same content" in " ".join(err.split())
