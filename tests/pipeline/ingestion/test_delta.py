"""Delta tables: the present rows with every column, or one message."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake
from polars.testing import assert_frame_equal

from features.errors import InputError
from pipeline.ingestion import delta, parquet_files
from pipeline.ingestion.importing import import_files
from tests.commands import run
from tests.pipeline.ingestion.delta_tables import CLICKS, actions, commit, remove_rows, write_clicks


def test_the_present_rows_are_imported_with_partitions_as_folders_and_columns() -> None:
    table, out = Path("my clicks/ö"), Path("out")
    expected = write_clicks(table)
    imported = import_files(str(table), out, {})
    found = pl.read_parquet([*out.rglob("*.parquet")], hive_partitioning=False)
    assert_frame_equal(found.sort("id"), expected.sort("id"), check_column_order=False)
    assert imported.rows == 10
    assert {path.relative_to(out).parts[0] for path in out.rglob("*.parquet")} == {"dt=2026-01-01", "dt=2026-01-02"}
    assert len(imported.files) < len([*table.rglob("*.parquet")])


def test_a_later_column_is_null_in_older_files_whatever_folder_the_table_is_in() -> None:
    table = Path("price=7/t")
    expected = write_clicks(Path("t"))
    table.parent.mkdir()
    Path("t").rename(table)
    import_files(str(table), Path("out"), {})
    found = pl.read_parquet([*Path("out").rglob("*.parquet")], hive_partitioning=False)
    assert_frame_equal(found.sort("id"), expected.sort("id"), check_column_order=False)


def test_rows_removed_by_deletion_vectors_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "_ROWS", 4)
    table = Path("table")
    write_deltalake(table, CLICKS.head(6).with_columns(country=pl.lit("N L")).to_arrow(), partition_by=["country"])
    remove_rows(table, [1, 2, 4])
    imported = import_files("table", Path("out"), {})
    assert pl.read_parquet([*Path("out").rglob("*.parquet")])["id"].to_list() == [0, 3, 5]
    assert imported.rows == 3


def _mapped(table: Path) -> None:
    (metadata,) = actions(table, "metaData")
    schema = json.loads(metadata["schemaString"])
    for number, column in enumerate(schema["fields"]):
        names = {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": column["name"]}
        column["metadata"] |= names
    mapped = metadata | {"schemaString": json.dumps(schema), "configuration": {"delta.columnMapping.mode": "name"}}
    protocol = {"minReaderVersion": 2, "minWriterVersion": 5}
    commit(table, [{"protocol": protocol}, {"metaData": mapped}])


def _cloned(table: Path) -> None:
    (add,) = actions(table, "add")
    commit(table, [{"add": add | {"path": f"s3://other/{add['path']}"}}])


def _emptied(table: Path) -> None:
    (add,) = actions(table, "add")
    commit(table, [{"remove": {"path": add["path"], "deletionTimestamp": 1, "dataChange": True}}])


def _broken(table: Path) -> None:
    (table / "_delta_log/00000000000000000000.json").write_text("{}")


def _lacking(table: Path) -> None:
    next(table.glob("*.parquet")).unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_mapped, r"is a Delta table with columnMapping, which cannot be read here; write its rows by Spark"),
        (_cloned, r"has rows in another folder, as s3://other/part-.*: it is a clone; write its rows by Spark"),
        (_emptied, r"is a Delta table without a row"),
        (_broken, r"cannot be read as a Delta table"),
        (_lacking, r"part-.*parquet is not a readable Parquet file"),
    ],
)
def test_a_table_that_cannot_be_read_is_told(change: Callable[[Path], None], message: str) -> None:
    write_deltalake("table", CLICKS.drop("at").to_arrow())
    change(Path("table"))
    code, _, err = run("import", "table", "out")
    assert code == 2
    assert re.search(message, err)
    assert not Path("out").exists()


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("table/_delta_log").mkdir(parents=True)
    monkeypatch.setattr(delta, "find_spec", lambda _: None)
    code, _, err = run("import", "table", "out")
    assert code == 2
    assert err.splitlines() == [
        "error: table is a Delta table, and its log is read by deltalake, which is not installed: "
        "pip install 'gradops[delta]'"
    ]


def test_a_folder_that_deltalake_takes_for_another_one_is_refused() -> None:
    table = Path("a%20b")
    (table / "_delta_log").mkdir(parents=True)
    with pytest.raises(InputError, match=r"would read .*a b in place of .*a%20b; rename"):
        import_files(str(table), Path("out"), {})
