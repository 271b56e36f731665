"""Objects at a store: found and read as files are, each copied once, every refusal one message.

Each test reads a folder that stands for a store; the slow ones read S3, which `moto` plays over HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
import requests
from pyarrow import fs

from pipeline.ingestion import copying, stores
from tests.commands import run
from tests.pipeline.ingestion.delta_tables import write_clicks

_SECRET = "wJalrXUtnFEMI/bPxRfiCY"


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A bucket `shop` of an S3 that the environment names."""
    requests.post(f"{endpoint}/moto-api/reset", timeout=10)
    values = {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": _SECRET, "REGION": "us-east-1"}
    for name, value in values.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    files = fs.S3FileSystem(endpoint_override=endpoint, allow_bucket_creation=True)
    files.create_dir("shop")
    return files


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any) -> Any:
    if request.param == "s3":
        return request.getfixturevalue("s3")
    files = fs.SubTreeFileSystem(str(tmp_path_factory.mktemp("store")), fs.LocalFileSystem())
    monkeypatch.setitem(stores._OPENED, "s3", lambda _: files)
    return files


def put(files: Any, key: str, data: bytes) -> None:
    files.create_dir(key.rpartition("/")[0])
    with files.open_output_stream(key, compression=None) as target:
        target.write(data)


def packed(text: str) -> bytes:
    return bytes(pa.compress(text.encode(), codec="gzip"))


def upload(files: Any, folder: Path, place: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            put(files, f"{place}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def fill(files: Any) -> None:
    put(files, "shop/logs/dt=2026-01-01/a.csv", b"id,zip\n1,007\n2,100\n")
    put(files, "shop/logs/dt=2026-01-02/a.csv.gz", packed("id,zip\n3,200\n"))
    pl.DataFrame({"id": ["4"], "zip": ["300"]}).write_parquet("000000_0")
    put(files, "shop/logs/dt=2026-01-02/000000_0", Path("000000_0").read_bytes())
    put(files, "shop/logs/_temporary/b.csv", b"id,zip\n9,9\n")
    put(files, "shop/logs/notes.md", b"x" * 100)
    put(files, "shop/logs-old/c.csv", b"id,zip\n8,8\n")


def rows(folder: str) -> list[int]:
    return pl.read_parquet([*Path(folder).rglob("*.parquet")], hive_partitioning=False)["id"].sort().to_list()


def test_objects_below_a_prefix_are_imported_below_the_same_folders(store: Any) -> None:
    fill(store)
    code, out, err = run("import", "s3://shop/logs/", "logs", "--type", "id=integer", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["files"] == {
        "s3://shop/logs/dt=2026-01-01/a.csv": "logs/dt=2026-01-01/a.parquet",
        "s3://shop/logs/dt=2026-01-02/000000_0": "logs/dt=2026-01-02/000000_0.parquet",
        "s3://shop/logs/dt=2026-01-02/a.csv.gz": "logs/dt=2026-01-02/a.parquet",
    }
    assert told["left_out"] == ["s3://shop/logs/notes.md"]
    assert told["columns"]["zip"]["type"] == "text"
    assert err.splitlines() == [f"reading {uri}" for uri in told["files"]]
    assert rows("logs") == [1, 2, 3, 4]
    assert sorted(path.name for path in Path().iterdir()) == ["000000_0", "logs"]


@pytest.mark.parametrize(
    ("uri", "expected", "fetched"),
    [
        ("s3://shop/logs/*-02/*.gz", [3], 1),
        ("s3a://shop/**/*.csv", [1, 2, 8], 2),
        ("s3://shop/logs/dt=2026-01-01/a.csv", [1, 2], 1),
        ("s3://shop/logs-old", [8], 1),
    ],
)
def test_patterns_and_single_objects_mean_what_they_mean_here(
    store: Any, uri: str, expected: list[int], fetched: int
) -> None:
    fill(store)
    code, _, err = run("import", uri, "logs")
    assert code == 0
    assert rows("logs") == expected
    assert len(err.splitlines()) == fetched


class OneFolder:
    """A store whose user may list and read one folder and nothing else, and that knows what was listed."""

    def __init__(self, files: Any, folder: str) -> None:
        self._files, self._folder, self.listed = files, folder, list[str]()

    def get_file_info(self, asked: Any) -> Any:
        places = [asked.base_dir] if isinstance(asked, fs.FileSelector) else asked
        if not all(f"{place}/".startswith(f"{self._folder}/") for place in places):
            raise PermissionError("AWS Error ACCESS_DENIED")
        self.listed += places if isinstance(asked, fs.FileSelector) else []
        return self._files.get_file_info(asked)

    def open_input_stream(self, key: str, **options: Any) -> Any:
        return self._files.open_input_stream(key, **options)


@pytest.mark.parametrize(
    ("uri", "listed"),
    [
        ("s3://shop/logs/dt=2026-01-01/a.csv", {"shop/logs/dt=2026-01-01/a.csv"}),
        ("s3://shop/logs/*-01/*.csv", {"shop/logs", "shop/logs/dt=2026-01-01"}),
        ("s3://shop/logs/dt=2026-01-01", {"shop/logs/dt=2026-01-01"}),
    ],
)
def test_a_user_of_one_folder_is_asked_for_no_more_than_that(
    uri: str, listed: set[str], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = fs.SubTreeFileSystem(str(tmp_path_factory.mktemp("store")), fs.LocalFileSystem())
    fill(files)
    store = OneFolder(files, "shop/logs")
    monkeypatch.setitem(stores._OPENED, "s3", lambda _: store)
    code, _, err = run("import", uri, "logs")
    assert code == 0, err
    assert rows("logs") == [1, 2]
    marks = {f"shop/logs{place}/{mark}" for place in ("", "/dt=2026-01-01") for mark in copying._MARKS}
    assert set(store.listed) - marks == listed, "a folder that no pattern matches is not listed"
    code, _, err = run("import", "s3://shop/lgs", "other")
    assert code == 2
    assert "s3://shop/lgs cannot be read (AWS Error ACCESS_DENIED); check" in err


def test_of_a_delta_table_the_present_files_alone_are_copied(store: Any) -> None:
    write_clicks(Path("table"))
    upload(store, Path("table"), "shop/tables/clicks")
    code, _, err = run("import", "s3://shop/tables/clicks", "logs")
    assert code == 0
    assert rows("logs") == [0, 1, 3, 4, 5, 10, 12, 13, 14, 15]
    copied = [line for line in err.splitlines() if line.endswith(".parquet")]
    assert 0 < len(copied) < len([*Path("table").rglob("*.parquet")])
    for part in ("tables", "tables/clicks/dt=2026-01-01", "tables/clicks/*/*/*.parquet"):
        code, _, err = run("import", f"s3://shop/{part}", "other")
        assert code == 2
        assert "s3://shop/tables/clicks is a Delta table (it has `_delta_log`)" in err
        assert "`gradops import s3://shop/tables/clicks clicks-parquet`" in err


def test_what_cannot_be_imported_is_told_by_its_uri_and_nothing_is_left(store: Any) -> None:
    fill(store)
    put(store, "shop/bad/a.csv", b"a,b\n1,2\n1,2,3\n")
    put(store, "shop/twice/a.csv", b"a\n1\n")
    put(store, "shop/twice/b.csv", b"a\n1\n")
    put(store, "shop/ice/metadata/v1.metadata.json", b"{}")
    put(store, "shop/ice/data/a.parquet", Path("000000_0").read_bytes())
    messages = {
        "s3://shop/ice": r"s3://shop/ice is an Iceberg table .* `pl\.scan_iceberg\(\"s3://shop/ice\"\)",
        "s3://shop/ice/data": r"s3://shop/ice is an Iceberg table",
        "s3://shop/bad": r"s3://shop/bad/a\.csv cannot be read: .*Expected 2 columns, got 3",
        "s3://shop/twice": r"s3://shop/twice/a\.csv and s3://shop/twice/b\.csv have the same content",
        "s3://shop/lo": r"no file at `s3://shop/lo` can be imported; files end in",
        "s3://shp/logs": r"there is no bucket `shp`, so s3://shp/logs cannot be read",
        "s3:///logs": r"`s3:///logs` is no place in a store; write `s3://BUCKET/FOLDER`",
        f"s3://me:{_SECRET}@shop/logs": r"is no place in a store; write .* credentials stand in the environment",
    }
    for uri, message in messages.items():
        code, out, err = run("import", uri, "logs")
        assert code == 2
        assert re.search(message, err)
        assert _SECRET not in out + err
    assert [path.name for path in Path().iterdir()] == ["000000_0"]


@pytest.mark.parametrize("text", ["hdfs://name/logs", "https://shop.example/a.csv"])
def test_other_stores_are_refused(text: str) -> None:
    code, _, err = run("import", text, "logs")
    assert code == 2
    assert "copy them here, or mount the store as a folder" in err


def test_an_account_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    code, _, err = run("import", "az://container/logs", "logs")
    assert code == 2
    assert "needs the name of the storage account in AZURE_STORAGE_ACCOUNT_NAME" in err


def test_an_object_that_is_also_a_folder_is_an_error_unless_it_is_empty() -> None:
    assert stores.in_conflict({"b/a": 0, "b/a/c": 1, "b/ab": 2}) == ["b/a"]


@pytest.mark.slow
def test_an_object_does_not_hide_the_folder_of_its_name(s3: Any) -> None:
    for key in ("logs.csv", "logs.csv/part-0.csv"):
        with s3.open_output_stream(f"shop/{key}", compression=None) as target:
            target.write(b"id\n1\n")
    code, _, err = run("import", "s3://shop/logs.csv/", "logs")
    assert code == 2
    assert "s3://shop/logs.csv" in err
    assert not Path("logs").exists()


@pytest.mark.slow
def test_refused_credentials_are_told_without_them(s3: Any, endpoint: str) -> None:
    fill(s3)
    requests.post(f"{endpoint}/moto-api/reset-auth", data="0", timeout=10)
    code, out, err = run("import", "s3://shop/logs", "logs")
    requests.post(f"{endpoint}/moto-api/reset-auth", data="inf", timeout=10)
    assert code == 2
    assert re.search(r"s3://shop/logs cannot be read \(.*\); check the network, that you may .*AWS_ACCESS_KEY_ID", err)
    assert _SECRET not in out + err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("uri", "variable", "value"),
    [
        ("s3://shop/logs", "AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("gs://shop/logs", "CLOUD_STORAGE_EMULATOR_ENDPOINT", "http://127.0.0.1:9"),
    ],
)
def test_a_store_that_does_not_answer_is_told_in_time(
    uri: str, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", _SECRET)
    monkeypatch.setenv(variable, value)
    code, out, err = run("import", uri, "logs")
    assert code == 2
    assert re.search(rf"{uri} cannot be read \(.*\); check the network", err)
    assert _SECRET not in out + err
