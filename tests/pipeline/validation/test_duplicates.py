"""Duplicate rows against a naive count, whatever the pass holds and whatever the hash does."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.transforms import stable_hash
from pipeline.validation.duplicates import DistinctHashes, Effort, Hashes, find_repeats, unfit
from pipeline.validation.findings import Findings

Rows = list[tuple[Any, ...]]
VALUES = st.tuples(st.sampled_from([None, "", "a", "b", "null", "1:=", "="]), st.sampled_from([None, 0, 1, -5]))
FILES = st.lists(st.lists(VALUES, max_size=8), min_size=1, max_size=3)
SCHEMA = {"name": pl.String, "number": pl.Int64}


def written(folder: Path, **roles: list[Rows]) -> dict[str, dict[Path, pl.Schema]]:
    files: dict[str, dict[Path, pl.Schema]] = {}
    for role, parts in roles.items():
        files[role] = {}
        for place, rows in enumerate(parts):
            path = folder / f"{role}-{place}.parquet"
            frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
            frame.write_parquet(path)
            files[role][path] = frame.schema
    return files


def naive(columns: list[str], train: list[Rows], holdout: list[Rows]) -> dict[str, int]:
    """Numbers of rows beyond the first of their kind, and of kinds that both have."""
    places = [list(SCHEMA).index(c) for c in columns]
    told = [[tuple(row[p] for p in places) for rows in role for row in rows] for role in (train, holdout)]
    counts = {
        "data.train repeats": len(told[0]) - len(set(told[0])),
        "data.holdout repeats": len(told[1]) - len(set(told[1])),
        "data.train and data.holdout share": len(set(told[0]) & set(told[1])),
    }
    return {what: count for what, count in counts.items() if count}


def counted(
    files: dict[str, dict[Path, pl.Schema]], columns: list[str], effort: Effort = Effort(), *, newest: int | None = None
) -> dict[str, int]:
    """The rows that are found twice; among the files but the newest of each role, if it is given."""
    apart = [path for found in files.values() for path in [*found][newest : newest + 1]] if newest is not None else []
    found = {}
    for problem in find_repeats(files, columns, newest=apart, effort=effort).without_newest:
        what, count = problem.partition(" row(s), as ")[0].rsplit(" ", 1)
        found[what] = int(count)
    return found


@settings(max_examples=12)
@given(
    train=FILES,
    holdout=FILES,
    columns=st.sampled_from([["name"], ["number"], ["number", "name"]]),
    limit=st.sampled_from([4, 11, 1 << 24]),
    colliding=st.booleans(),
)
def test_they_are_those_of_a_naive_count(
    tmp_path_factory: pytest.TempPathFactory,
    train: list[Rows],
    holdout: list[Rows],
    columns: list[str],
    limit: int,
    colliding: bool,
) -> None:
    """In passes of a few rows as in one, and with a hash that gives different rows one value."""
    files = written(tmp_path_factory.mktemp("log"), train=train, holdout=holdout)
    effort = Effort(hashes=limit, hash=(lambda text: stable_hash(text) % 3) if colliding else stable_hash)
    assert counted(files, columns, effort) == naive(columns, train, holdout)
    for newest in (0, 1):
        others = [rows for place, rows in enumerate(train) if place != newest]
        others_held_out = [rows for place, rows in enumerate(holdout) if place != newest]
        assert counted(files, columns, effort, newest=newest) == naive(columns, others, others_held_out)
        apart = [path for found in files.values() for path in [*found][newest : newest + 1]]
        together = find_repeats(files, columns, newest=apart, effort=effort)
        assert together.problems == find_repeats(files, columns, effort=effort).problems


def test_a_log_of_one_value_and_more_repeats_than_are_compared(tmp_path: Path) -> None:
    effort = Effort(hashes=16, compared=5)
    same: list[Rows] = [[("a", 1)] * 100, [("a", 1)] * 50]
    assert counted(written(tmp_path, train=same), ["name"], effort) == {"data.train repeats": 149}
    twice: list[Rows] = [[(str(n), n) for n in range(40)]] * 2
    files = written(tmp_path, train=twice, holdout=twice)
    assert counted(files, ["number"], effort) == naive(["number"], twice, twice)
    assert counted(files, ["number"], effort, newest=1) == naive(["number"], twice[:1], twice[:1])


def test_memory_is_that_of_a_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    sort = DistinctHashes.finish

    def watched(self: DistinctHashes) -> Hashes:
        sizes.append(len(self))
        return sort(self)

    monkeypatch.setattr(DistinctHashes, "finish", watched)
    rows: list[Rows] = [[(str(n), n) for n in range(start, start + 500)] for start in (0, 500, 1000, 1500)]
    assert counted(written(tmp_path, train=rows), ["number"], Effort(hashes=100)) == {}
    assert len(sizes) >= 20
    assert max(sizes) <= 200


def test_the_message_shows_a_row_and_its_files(tmp_path: Path) -> None:
    rows: list[Rows] = [[("a", 1), ("b", 2)], [("c", 3), ("a", 1)]]
    files = written(tmp_path, train=rows, holdout=[[("b", 2), ("d", 2)]])
    train = " and ".join(map(str, files["train"]))
    assert find_repeats(files, ["name", "number"]).problems == (
        f"data.train repeats 1 row(s), as name a, number 1 in {train}; `[contract] unique` tells rows apart by `name` "
        "and `number`; drop the others, or name more",
        f"data.train and data.holdout share 1 row(s), as name b, number 2 in {tmp_path}/train-0.parquet and "
        f"{tmp_path}/holdout-0.parquet; a row, known by `name` and `number`, is either trained on or held out; "
        "drop it from one of them",
    )
    assert find_repeats(files, []) == Findings()


def test_a_damaged_file_is_named_and_the_others_are_counted(tmp_path: Path) -> None:
    files = written(tmp_path, train=[[("a", 1)], [("a", 2)], [("a", 3)]])
    damaged = tmp_path / "train-1.parquet"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:4] + b"\xff" * 60 + content[64:])
    reading, repeats = find_repeats(files, ["name"]).problems
    assert reading.startswith(f"{damaged} is not a readable Parquet file")
    assert repeats.startswith("data.train repeats 1 row(s)")
    assert find_repeats(files, ["name"], newest=[damaged]).without_newest == (repeats,)
    assert find_repeats(files, ["name"], newest=[tmp_path / "train-2.parquet"]).without_newest == (reading,)


def test_any_plain_column_tells_a_row_and_a_list_does_not(tmp_path: Path) -> None:
    days = pl.DataFrame({"day": [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 1)], "tags": [["a"], [], None]})
    path = tmp_path / "days.parquet"
    days.write_parquet(path)
    (problem,) = find_repeats({"train": {path: days.schema}}, ["day"]).problems
    assert "repeats 1 row(s), as day 2026-01-01 in" in problem
    assert list(unfit("data.train", days.schema, ["day"])) == []
    missing, nested = unfit("data.train", days.schema, ["click", "tags"])
    assert "column `click` (`[contract] unique`) is missing from data.train" in missing
    assert "column `tags` (`[contract] unique`) holds List(String)" in nested
