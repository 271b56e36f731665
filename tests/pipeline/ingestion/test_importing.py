"""Imports: every value of a file comes out as it is meant, in a type that is said, or one message says why not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from features.errors import InputError
from pipeline.ingestion import delimited, json_lines
from pipeline.ingestion.base import Reading
from pipeline.ingestion.importing import import_files, parse_types
from pipeline.ingestion.types import FOUND_TYPES, Seen, as_type
from tests.commands import run

CSV = """id,zip,price,when,flag,note,age,epoch
1,00123,1.5,2026-01-01T10:00:00,true,"a, b",NA,1767225600
2,01234,,2026-01-02 11:00:00Z,false,"",31,1767225601
-3,\\N,2e3,2026-01-03 12:30:00,true,"line
break",32,1767225602
"""
ROWS = pl.DataFrame(
    {
        "id": [1, 2, -3],
        "zip": ["00123", "01234", None],
        "price": [1.5, None, 2000.0],
        "when": [datetime(2026, 1, 1, 10), datetime(2026, 1, 2, 11), datetime(2026, 1, 3, 12, 30)],
        "flag": [True, False, True],
        "note": ["a, b", "", "line\nbreak"],
        "age": ["NA", "31", "32"],
        "epoch": [1767225600, 1767225601, 1767225602],
    }
)


def stream(path: Path, data: bytes) -> None:
    with pa.output_stream(str(path), compression="detect") as target:
        target.write(data)


@pytest.mark.parametrize(
    ("name", "separator"), [("a.csv", ","), ("a.tsv", "\t"), ("a.csv.gz", ","), ("a.csv.zst", ";"), ("a.TXT", "|")]
)
def test_every_value_of_a_text_keeps_its_meaning(name: str, separator: str) -> None:
    quoted = '"a, b"'
    text = CSV.replace(quoted, "@").replace(",", separator).replace("@", quoted)
    stream(Path(name), text.encode())
    imported = import_files(name, Path("out"), {})
    assert_frame_equal(pl.read_parquet("out/a.parquet"), ROWS, check_dtypes=False)
    evidence = {column.name: (column.type, column.evidence) for column in imported.columns}
    assert evidence["zip"] == ("text", "2 values, 1 missing; 2 have a leading zero, which a number would lose")
    assert evidence["when"] == ("time", "all of 3 values")
    near = "3 values; all but 1 are of type integer, as 'NA': `--null 'NA'` if that means missing"
    assert evidence["age"] == ("text", near)


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["2103807459595387724", "-9223372036854775808", "0"], "integer"),
        (["9223372036854775808", "1"], "text"),
        (["9007199254740993", "0.5"], "text"),
        (["1", "-.5", "2.50", "1e-3"], "number"),
        (["1", "+2"], "text"),
        (["1", "e5"], "text"),
        (["007", "7"], "text"),
        (["-0", "1"], "number"),
        (["1", "0"], "integer"),
        (["TRUE", "false"], "boolean"),
        (["2026-02-28", "2026-02-30"], "text"),
        (["2026-02-28", "2026-03-01"], "date"),
        (["2026-02-28", "2026-03-01T10:00"], "text"),
        (["2026-02-28T10:00:00.5+02:00", "2026-02-28 08:00"], "time"),
        (["20260131", "20260201"], "integer"),
        (["12,5", "1"], "text"),
        (["0x1F", "1"], "text"),
        (["nan", "1"], "text"),
    ],
)
def test_no_text_becomes_another_value(texts: list[str], found: str) -> None:
    values = pl.Series("a", texts)
    assert Seen(FOUND_TYPES).add(values).found == found
    assert as_type(values, found).null_count() == 0
    if found == "integer":
        assert [int(text) for text in texts] == as_type(values, "integer").to_list()


def test_declared_types_and_missing_values_are_taken() -> None:
    Path("a.csv").write_text(CSV)
    types = parse_types(["epoch=s", "id=text", "age=integer", "when=date"])
    import_files("a.csv", Path("out"), types, Reading(nulls=("NA",)))
    found = pl.read_parquet("out/a.parquet")
    assert found["id"].to_list() == ["1", "2", "-3"]
    assert found["age"].to_list() == [None, 31, 32]
    assert found["epoch"][0] == datetime(2026, 1, 1)
    assert found.schema["when"] == pl.Date()


def test_a_type_is_found_from_every_row_of_every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The value that is no integer is the last one of the second file, far behind the first block."""
    monkeypatch.setattr(delimited, "_BLOCK", 1 << 10)
    for day, last in ((1, "7"), (2, "x7")):
        folder = Path(f"raw/dt=2026-01-0{day}")
        folder.mkdir(parents=True)
        lines = ["a,b", *(f"{n},{n}" for n in range(3000)), f"{last},0.5"]
        (folder / "part.csv").write_text("\n".join(lines))
    imported = import_files("raw", Path("logs"), {})
    column, other = imported.columns
    assert (column.type, other.type) == ("text", "number")
    assert (
        column.evidence == "6,002 values; all but 1 are of type integer, as 'x7': `--null 'x7'` if that means missing"
    )
    assert imported.rows == 6002
    assert sorted(Path("logs").rglob("*.parquet")) == [Path(f"logs/dt=2026-01-0{day}/part.parquet") for day in (1, 2)]
    assert {*pl.read_parquet("logs/dt=2026-01-01/part.parquet").schema.items()} == {
        ("a", pl.String()),
        ("b", pl.Float64()),
    }


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_json_lines_keep_their_types(pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "_BLOCK", 1 << 8)
    rows = [{"id": n, "code": f"0{n}", "at": f"2026-01-0{n % 7 + 1}T00:00:00", "tags": [n, 2]} for n in range(50)]
    rows[40] |= {"id": 0.5, "late": True}
    name = "a.jsonl" if pack is bytes else "a.jsonl.gz"
    Path(name).write_bytes(pack("\n".join(map(json.dumps, rows)).encode()))
    import_files(name, Path("out"), {})
    found = pl.read_parquet("out/a.parquet")
    expected = pl.DataFrame([row | {"late": row.get("late")} for row in rows], infer_schema_length=None)
    expected = expected.with_columns(pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M:%S"))
    assert_frame_equal(found, expected.select(found.columns))


@pytest.mark.parametrize("is_stream", [False, True])
def test_arrow_and_parquet_keep_their_types_but_for_those_declared(is_stream: bool) -> None:
    frame = ROWS.with_columns(pl.col("note").cast(pl.Categorical))
    if is_stream:
        frame.write_ipc_stream("a.arrow", compression="uncompressed")
    else:
        frame.write_ipc("a.arrow", compression="zstd")
    import_files("a.arrow", Path("out"), {"epoch": "s"})
    expected = ROWS.with_columns(pl.from_epoch("epoch").cast(pl.Datetime("us")))
    assert_frame_equal(pl.read_parquet("out/a.parquet"), expected)
    ROWS.select(pl.all().cast(pl.String)).write_parquet("b.parquet")
    import_files("b.parquet", Path("again"), parse_types(["price=number", "id=integer"]))
    found = pl.read_parquet("again/b.parquet")
    assert found.schema["price"] == pl.Float64()
    assert found["id"].to_list() == [1, 2, -3]
    with pytest.raises(InputError, match=r"`price`: a value, as '1.5' in a.arrow, is no integer"):
        import_files("a.arrow", Path("more"), {"price": "integer"})


@pytest.mark.parametrize(
    ("name", "text", "options", "message"),
    [
        ("a.csv", "a,b\n1,2\n1,2,3\n", [], "Expected 2 columns, got 3"),
        ("a.csv", "a,a\n1,2\n", [], "several columns `a`"),
        ("a.csv", "a,\n1,2\n", [], "a column without a name"),
        (
            "a.csv",
            "1,2268318,pv,1511544070\n1,7,pv,1511544071\n",
            [],
            "as `1`, where the names of the columns should be",
        ),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), [], "it is UTF-16: `--encoding utf-16`"),
        ("a.csv", "", [], "`a.csv` has no rows: 1 file(s) are empty"),
        ("a.csv", "a,b\n1,05.13.2026\n", ["--type", "b=%d.%m.%Y"], "as '05.13.2026' in a.csv, is no time written as"),
        ("a.csv", "a,b\n1,é\n".encode("latin-1"), [], "name its encoding, as `--encoding cp1252`"),
        ("a.csv", "a,b\n1,x\n", ["--type", "b=number"], "`b`: a value, as 'x' in a.csv, is no number; `--null 'x'`"),
        ("a.csv", "a,b\n1,x\n", ["--type", "B=number"], "--type B: there is no such column; did you mean `b`?"),
        ("a.csv", "a,b\n1,x\n", ["--type", "b=float"], "--type is NAME=TYPE, its type text, integer, number"),
        ("a.jsonl", '{"a": 1}\n{"a": 1\n', [], "a.jsonl, line 2: no JSON"),
        ("a.json", '[{"a": 1}, {"a": 2}]', [], "a.json, line 1: no object in braces"),
        ("a.arrow", "no arrow", [], "a.arrow is not a readable Arrow file"),
        ("a.csv.gz", "a,b\n1,2\n", [], "a.csv.gz cannot be read"),
        ("a.xlsx", "", [], "no file at `a.xlsx` can be imported"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_and_nothing_is_written(
    name: str, text: str | bytes, options: list[str], message: str
) -> None:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    code, _, err = run("import", name, "out", *options)
    assert code == 2
    assert message in err
    assert not Path("out").exists()


def test_a_column_that_some_files_lack_is_said_and_lacks_in_their_parquet_too() -> None:
    Path("raw").mkdir()
    Path("raw/a.csv").write_text("a,b\n1,2\n")
    Path("raw/b.csv").write_text("c,a\n5,3\n")
    Path("raw/c.csv").touch()
    Path("raw/notes.md").write_text("x")
    imported = import_files("raw", Path("out"), {})
    assert imported.left_out == ["raw/notes.md", "raw/c.csv (empty)"]
    evidence = {column.name: column.evidence for column in imported.columns}
    assert evidence["a"] == "all of 2 values"
    assert evidence["b"] == "all of 1 values; 1 of 2 files have no such column, as raw/b.csv"
    assert pl.read_parquet("out/b.parquet").to_dict(as_series=False) == {"a": [3], "c": [5]}
    with pytest.raises(InputError, match="out is not empty"):
        import_files("raw", Path("out"), {})


EUROPEAN = """;wann ;preis;stadt
0;29.11.2026 14:05; 3,22 ;Köln
1;30.11.2026 9:00;NA;Paris
"""


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_what_a_spreadsheet_writes_is_read_once_it_is_said_how(encoding: str) -> None:
    Path("a.csv").write_text(EUROPEAN, encoding=encoding)
    imported = import_files("a.csv", Path("some"), {}, Reading(encoding=encoding.removesuffix("-sig"), nulls=["NA"]))
    evidence = {column.name: column.evidence for column in imported.columns}
    assert evidence["wann"] == "2 values; times, as '29.11.2026 14:05': `--type 'wann=%d.%m.%Y %H:%M'`"
    assert evidence["preis"] == "1 values, 1 missing; numbers with a decimal comma, as '3,22': `--decimal ,`"
    options = ["--encoding", encoding.removesuffix("-sig"), "--decimal", ",", "--null", "NA"]
    code, _, err = run("import", "a.csv", "out", *options, "--type", "wann=%d.%m.%Y %H:%M")
    assert code == 0, err
    times = [datetime(2026, 11, 29, 14, 5), datetime(2026, 11, 30, 9)]
    expected = {"unnamed": [0, 1], "wann": times, "preis": [3.22, None], "stadt": ["Köln", "Paris"]}
    assert_frame_equal(pl.read_parquet("out/a.parquet"), pl.DataFrame(expected), check_dtypes=False)
    # The same of Parquet, where `gradops init` has found them.
    import_files("some", Path("again"), parse_types(["preis=comma", "wann=%d.%m.%Y %H:%M"]))
    assert pl.read_parquet("again/a.parquet")["preis"].to_list() == [3.22, None]
    assert pl.read_parquet("again/a.parquet")["wann"].to_list() == times


def test_columns_are_named_where_the_first_line_has_values() -> None:
    Path("a.csv").write_text("1,2268318,pv,1511544070\n2,7,buy,1511544071\n")
    assert run("import", "a.csv", "out", "--names", "user,item,event,ts", "--type", "ts=s")[0] == 0
    rows = pl.read_parquet("out/a.parquet")
    assert rows.columns == ["user", "item", "event", "ts"]
    assert rows["item"].to_list() == [2268318, 7]
    Path("wide.csv").write_text("id,2019,2020\n1,2,3\n")
    assert import_files("wide.csv", Path("wide"), {}).rows == 1, "numbers that count are names"


def test_a_mark_of_a_missing_value_is_one_in_files_with_types() -> None:
    pl.DataFrame({"a": ["1.5", "NA"]}).write_parquet("a.parquet")
    pl.DataFrame({"a": ["1.5", "NA"]}).write_ipc("a.arrow", compression="uncompressed")
    for name in ("a.parquet", "a.arrow"):
        import_files(name, Path(name + ".out"), {"a": "number"}, Reading(nulls=("NA",)))
        assert pl.read_parquet(f"{name}.out/a.parquet")["a"].to_list() == [1.5, None]


def test_files_are_found_as_those_of_a_table_are() -> None:
    for name in ("raw/dt=1/a.csv", "raw/.hidden/b.csv", "raw/_temporary/c.csv"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(f"a,b\n{len(name)},2\n")
    Path("elsewhere").mkdir()
    Path("elsewhere/d.csv").write_text("a,b\n9,9\n")
    Path("raw/dt=2").symlink_to(Path("elsewhere").absolute())
    pl.DataFrame({"a": ["1"], "b": ["2"]}).write_parquet("raw/dt=1/000000_0")
    imported = import_files("raw", Path("out"), {})
    assert sorted(imported.files) == ["raw/dt=1/000000_0", "raw/dt=1/a.csv", "raw/dt=2/d.csv"]
    assert [*import_files("raw/*/*.csv", Path("some"), {}).files] == ["raw/dt=1/a.csv", "raw/dt=2/d.csv"]
    Path("raw/dt=1/copy.csv").write_text(Path("raw/dt=1/a.csv").read_text())
    with pytest.raises(InputError, match="have the same content, so each of its rows would count 2 times"):
        import_files("raw", Path("other"), {})
    Path("elsewhere/_delta_log").mkdir()
    with pytest.raises(InputError, match="raw/dt=2 is a Delta table"):
        import_files("raw", Path("other"), {})
