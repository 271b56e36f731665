"""Fetching MovieLens 100K: local, damaged, already there, and out of the wheel."""

from __future__ import annotations

import zipfile
from pathlib import Path

import polars as pl
import pytest

from features.errors import InputError
from pipeline.sources import movielens

FILES = {
    "inter": ["user_id:token item_id:token rating:float timestamp:float", "1 8 3 881250949", "2 9 5 881250900"],
    "item": [
        "item_id:token movie_title:token_seq release_year:token class:token_seq",
        '8 The_"X 1995 Drama_War',
        "9 Y V War",
    ],
    "user": [
        "user_id:token age:token gender:token occupation:token zip_code:token",
        "1 24 M writer 85711",
        "2 53 F other T8H1N",
    ],
}


def write(folder: Path, name: str, lines: list[str]) -> None:
    """A table of tab-separated values; a `_` of a cell that is no name of a column stands for a blank."""
    header, *rows = [line.replace(" ", "\t") for line in lines]
    (folder / f"ml-100k.{name}").write_text("\n".join([header, *(row.replace("_", " ") for row in rows), ""]))


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(movielens, "TABLES", dict.fromkeys(FILES, 2))
    folder = tmp_path / "local"
    folder.mkdir()
    for name, lines in FILES.items():
        write(folder, name, lines)
    return folder


def test_local_files_become_one_table_in_the_order_of_time(local: Path, tmp_path: Path) -> None:
    (path,) = movielens.fetch(tmp_path / "out", local)
    first, second = pl.read_parquet(path).to_dicts()
    assert first == {
        "user_id": 2,
        "item_id": 9,
        "rating": 5,
        "timestamp": 881250900,
        "age": 53,
        "gender": "F",
        "occupation": "other",
        "zip_code": "T8H1N",
        "title": "Y",
        "year": None,
        "genres": ["War"],
    }
    assert (second["title"], second["year"], second["genres"]) == ('The "X', 1995, ["Drama", "War"])
    assert movielens.fetch(tmp_path / "out", tmp_path / "nowhere") == [path], "what is there is kept"


def test_every_problem_of_the_files_is_named_and_nothing_is_written(local: Path, tmp_path: Path) -> None:
    (local / "ml-100k.user").unlink()
    write(local, "item", FILES["item"][:-1])
    with pytest.raises(InputError, match=r"2 problem(?s:.*)item: expected 2 rows, found 1(?s:.*)user cannot be read"):
        movielens.fetch(tmp_path / "out", local)
    write(local, "user", FILES["user"])
    write(local, "item", [FILES["item"][0].replace("class", "kind"), *FILES["item"][1:]])
    with pytest.raises(InputError, match="altered files"):
        movielens.fetch(tmp_path / "out", local)
    assert not list((tmp_path / "out").glob("*"))


def test_a_wheel_without_the_tables_is_damaged(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("recbole/__init__.py", "")
    with pytest.raises(InputError, match="is damaged"):
        movielens._extracted(tmp_path / "a.whl")


@pytest.mark.slow
def test_the_real_file_has_every_rating(tmp_path: Path) -> None:
    (path,) = movielens.fetch(tmp_path / "movielens")
    ratings = pl.read_parquet(path)
    assert ratings.height == 100_000
    assert (
        ratings.null_count().select(pl.sum_horizontal(pl.all())).item() == ratings.get_column("year").null_count() < 20
    )
    assert [p.name for p in (tmp_path / "movielens").iterdir()] == ["ratings.parquet"]
