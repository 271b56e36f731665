"""What a path means as a table: the same rows, however they lie, or a sentence."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from features.errors import InputError
from pipeline.data.batches import Batches
from pipeline.data.prepare import prepare
from pipeline.files.table import Table, find_table
from tests.pipeline.small_shop import ROWS, shop_config, shop_log, write


def found(text: str) -> list[str]:
    return [str(path) for path in find_table(text).files]


def copy(source: str, *targets: str) -> None:
    for target in targets:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def half(path: str, part: int) -> Path:
    return write(shop_log()[1500 * part : 1500 * part + 1500], path)


def aborted_spark_job() -> None:
    copy(str(write(shop_log())), "logs/_temporary/0/task_0/part-0.parquet", "logs/_SUCCESS")


def jupyter_and_mac() -> None:
    path = str(write(shop_log()))
    copy(path, "logs/.ipynb_checkpoints/part-0-checkpoint.parquet", "logs/._part-0.parquet", "logs/_metadata")


def impala_staging() -> None:
    copy(str(write(shop_log(), "logs/x=1/a.parquet")), "logs/x=1/_impala_insert_staging/1.parquet", "logs/.hive/a.pq")


def partition_with_an_underscore() -> None:
    half("logs/_part=a/p.parquet", 0)
    half("logs/_part=b/p.parquet", 1)


def linked_day() -> None:
    half("logs/dt=2026-01-01/p.parquet", 0)
    half("disk/dt=2026-01-02/p.parquet", 1)
    Path("logs/dt=2026-01-02").symlink_to(Path("disk/dt=2026-01-02").resolve())


def linked_file() -> None:
    write(shop_log(), "disk/a.parquet")
    Path("logs").mkdir()
    Path("logs/a.parquet").symlink_to("../disk/a.parquet")


def linked_folder() -> None:
    write(shop_log(), "disk/deep/a.parquet")
    Path("logs").symlink_to("disk")


def brackets_that_match_another_file() -> None:
    half("logs/part-1.parquet", 0)
    half("logs/part-[1].parquet", 1)


def a_star_for_a_name() -> None:
    half("logs/a.parquet", 0)
    half("logs/*.parquet", 1)


def other_wildcards() -> None:
    half("logs/what?/[a-z]*.parquet", 0)
    half("logs/what!/{a,b}.parquet", 1)


def browsers_second_download() -> None:
    write(shop_log(), "logs/clicks [1].parquet")


def spark_data_set() -> None:
    write(shop_log(), "logs/clicks.parquet/part-00000-c000.snappy.parquet")


def other_endings() -> None:
    half("logs/a.pq", 0)
    half("logs/B.PARQ", 1)


def capitals() -> None:
    half("logs/a.PARQUET", 0)
    half("logs/b.Parquet", 1)


def hives_names() -> None:
    half("logs/000000_0", 0)
    half("logs/dt=2026-01-01/000001_0", 1)
    Path("logs/LICENSE").write_text("no rows")


def our_own_notes() -> None:
    write(shop_log())
    Path("logs/manifest.json").write_text("{}")


LAYOUTS: list[Callable[[], None]] = [
    aborted_spark_job,
    jupyter_and_mac,
    impala_staging,
    partition_with_an_underscore,
    linked_day,
    linked_file,
    linked_folder,
    brackets_that_match_another_file,
    a_star_for_a_name,
    other_wildcards,
    browsers_second_download,
    spark_data_set,
    other_endings,
    capitals,
    hives_names,
    our_own_notes,
]


@pytest.mark.parametrize("lay", LAYOUTS, ids=lambda lay: lay.__name__)
def test_a_folder_holds_the_same_rows_however_they_lie(lay: Callable[[], None]) -> None:
    lay()
    assert prepare(shop_config()).rows == ROWS


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("logs/clicks [1].parquet", ["logs/clicks [1].parquet"]),
        ("logs[v2]", ["logs[v2]/a.parquet"]),
        ("logs[v2]/*.parquet", ["logs[v2]/a.parquet"]),
        ("logs[12]", ["logs1/a.parquet", "logs2/b.parq"]),
        ("logs?/*", ["logs1/a.parquet", "logs2/b.parq"]),
        ("logs?/*.parq", ["logs2/b.parq"]),
        ("*", ["logs/clicks [1].parquet", "logs1/a.parquet", "logs2/b.parq", "logs[v2]/a.parquet", "day.parquet/0"]),
        ("**/a.parquet", ["logs1/a.parquet", "logs[v2]/a.parquet"]),
        ("**/_old/*", ["logs1/_old/a.parquet"]),  # written by the user
        ("logs1/_*", ["logs1/_old/a.parquet"]),
        ("logs1/_old", ["logs1/_old/a.parquet"]),
        ("*.parquet", ["day.parquet/0"]),
        ("./logs1/../logs1/a.parquet", ["logs1/../logs1/a.parquet"]),
    ],
)
def test_an_existing_path_is_a_path_and_anything_else_a_pattern(text: str, files: list[str]) -> None:
    for path in ("logs/clicks [1].parquet", "logs[v2]/a.parquet", "logs1/a.parquet", "logs2/b.parq", "day.parquet/0"):
        write(pl.DataFrame({"a": [path]}), path)
    write(pl.DataFrame({"a": ["old"]}), "logs1/_old/a.parquet")
    assert found(text) == sorted(files, key=Path)


def test_a_pattern_of_absolute_paths(tmp_path: Path) -> None:
    write(pl.DataFrame({"a": [1]}), "logs/dt=2026-01-01/a.parquet")
    write(pl.DataFrame({"a": [1]}), "logs/a.parquet")
    paths = [tmp_path / "logs/a.parquet", tmp_path / "logs/dt=2026-01-01/a.parquet"]
    assert list(find_table(f"{tmp_path}/logs/**/*.parquet").files) == paths
    assert list(find_table(f"{tmp_path}/logs/*/*.parquet").files) == paths[1:]


def test_a_table_can_be_sent_to_workers() -> None:
    write(shop_log())
    table = find_table("logs")
    assert pickle.loads(pickle.dumps(table)) == table
    assert hash(table) == hash(Table((Path("logs/part-0.parquet"),)))


def test_prepared_data_may_lie_in_a_folder_with_brackets() -> None:
    write(shop_log())
    for folder in ("prep[1]", "prep*", "prep[1-9]"):
        config = shop_config(None, None, f"data.prepared='{folder}'")
        first = prepare(config)
        assert first.rows == ROWS
        assert sorted(prepare(config).encoder().vocabularies["country"]) == ["DE", "FR", "NL"]
        batches = Batches(first.folder / "train", config.spec, ["purchase"], batch_size=100)
        assert batches.rows == ROWS["train"]


def test_files_that_are_left_out_are_counted_and_named() -> None:
    write(shop_log())
    copy("logs/part-0.parquet", "logs/part-0.parquet.bak", "logs/x/old.parquet.gz")
    Path("logs/readme.txt").write_text("rows of the shop")
    table = find_table("logs")
    assert list(map(str, table.left_out)) == ["logs/part-0.parquet.bak", "logs/readme.txt", "logs/x/old.parquet.gz"]
    assert table.note == (
        "3 file(s) left out, as logs/part-0.parquet.bak: Parquet files end in .parquet, .pq or .parq, or have no "
        "ending; 2 of them hold(s) Parquet, as logs/part-0.parquet.bak: rename what belongs to the rows"
    )
    assert find_table("logs/part-0.parquet").note == ""


def delta() -> None:
    write(shop_log())
    Path("logs/_delta_log").mkdir()


def deep_delta() -> None:
    write(shop_log(), "logs/sales/country=NL/a.parquet")
    Path("logs/sales/_delta_log").mkdir()


def iceberg() -> None:
    write(shop_log(), "logs/data/a.parquet")
    Path("logs/metadata").mkdir()
    Path("logs/metadata/v1.metadata.json").write_text("{}")


def hudi() -> None:
    write(shop_log())
    Path("logs/.hoodie").mkdir()


@pytest.mark.parametrize(
    ("lay", "text", "sentence"),
    [
        (delta, "logs", "logs is a Delta table (it has `_delta_log`).*rows: `gradops import logs logs-parquet`"),
        (delta, "logs/*.parquet", "logs is a Delta table"),
        (delta, "logs/part-0.parquet", "logs is a Delta table"),
        (deep_delta, "logs", "logs/sales is a Delta table"),
        (deep_delta, "logs/**/*.parquet", "logs/sales is a Delta table"),
        (deep_delta, "logs/sales/country=NL", "logs/sales is a Delta table"),
        (deep_delta, "logs/sales/country=NL/*.parquet", "logs/sales is a Delta table"),
        (deep_delta, "*/sales/country=NL/a.parquet", "logs/sales is a Delta table"),
        (iceberg, "logs", "logs is an Iceberg table"),
        (iceberg, "logs/data", "logs is an Iceberg table"),
        (hudi, "*", "logs is a Hudi table"),
    ],
)
def test_a_table_of_another_format_is_never_read_as_loose_files(
    lay: Callable[[], None], text: str, sentence: str
) -> None:
    lay()
    pattern = sentence.replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(InputError, match=pattern):
        prepare(shop_config(None, None, f"data.train='{text}'"))
    assert not Path("prepared").exists()


def test_an_ordinary_folder_may_be_called_metadata() -> None:
    write(shop_log(), "logs/metadata/a.parquet")
    assert prepare(shop_config()).rows == ROWS


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("s3://bucket/logs/", r"is at a store \(s3\).*`gradops import s3://bucket/logs/ logs-parquet`"),
        ("gs://bucket/*.parquet", r"is at a store \(gs\)"),
        ("hdfs://name:9000/logs", r"is at a store \(hdfs\)"),
        ("https://example.org/a.parquet", r"is at a store \(https\)"),
        ("file:///logs", "is a URI; write the path alone"),
        ("~/logs", "`~` is no folder; write `/"),
        (
            "logs/a.csv",
            r"logs/a.csv is text \(.csv\), and rows are read from Parquet .*`gradops import logs/a.csv a-parquet`",
        ),
        ("logs/*.csv", r"logs/a.csv is text \(.csv\)"),
        ("logs/b.json.gz", r"logs/b.json.gz is text \(.json\).*`gradops import logs/b.json.gz b-parquet`"),
        ("logs", "no Parquet file at `logs` .*; 2 file.s. left out, as logs/a.csv"),
        ("nowhere", "no Parquet file at `nowhere` .paths are relative to the folder of the command"),
        ("nowhere/*.parquet", "no Parquet file at `nowhere/"),
        ("hidden", "no Parquet file at `hidden` .*; names that begin with `.` or `_` are skipped"),
        ("/dev/null", "/dev/null is neither a file nor a folder"),
    ],
)
def test_what_is_not_read_has_a_sentence(text: str, sentence: str) -> None:
    Path("logs").mkdir()
    Path("logs/a.csv").write_text("a,b\n1,2\n")
    Path("logs/b.json.gz").write_bytes(b"\x1f\x8b")
    write(shop_log(), "hidden/_old/a.parquet")
    with pytest.raises(InputError, match=sentence):
        find_table(text)


def test_parquet_that_is_called_csv_is_read_if_it_is_named() -> None:
    write(shop_log(), "logs/a.csv")
    assert found("logs/a.csv") == ["logs/a.csv"]


@pytest.mark.parametrize("target", ["..", ".", "../../..", "inner"])
def test_a_link_to_a_folder_above_is_refused(target: str) -> None:
    write(shop_log(), "logs/inner/a.parquet")
    Path("logs/inner/loop").symlink_to(target if target != "inner" else "../inner")
    for text in ("logs", "logs/**/*.parquet", "logs/*"):
        with pytest.raises(InputError, match="logs/inner/loop is a link to a folder above it; remove the link"):
            find_table(text)


def test_data_that_is_missing_is_a_file_that_cannot_be_read() -> None:
    """A link to nothing, and the folder of a job that was aborted."""
    write(shop_log())
    Path("logs/gone.parquet").symlink_to("nowhere")
    write(shop_log(), "logs/job.parquet/_temporary/0/a.parquet")
    assert found("logs") == ["logs/gone.parquet", "logs/job.parquet", "logs/part-0.parquet"]
    with pytest.raises(InputError) as error:
        prepare(shop_config())
    assert "2 problem(s)" in str(error.value)
    assert "logs/gone.parquet is not a readable Parquet file (No such file" in str(error.value)
    assert "logs/job.parquet is not a readable Parquet file (it is a folder without a Parquet file)" in str(error.value)
    Path("logs/notes.txt").symlink_to("nowhere")  # of no such name: left out, and named
    assert find_table("logs").left_out == (Path("logs/notes.txt"),)


def test_a_pipe_is_no_file() -> None:
    write(shop_log())
    os.mkfifo("logs/pipe.parquet")
    os.mkfifo("logs/pipe")
    assert found("logs") == ["logs/part-0.parquet"]
    assert find_table("logs").left_out == (Path("logs/pipe"), Path("logs/pipe.parquet"))


def test_a_folder_that_may_not_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    half("logs/a/p.parquet", 0)
    half("logs/b/p.parquet", 1)
    list_folder = Path.iterdir

    def denied(folder: Path) -> object:
        if folder.name == "b":
            raise PermissionError(13, "Permission denied")
        return list_folder(folder)

    monkeypatch.setattr(Path, "iterdir", denied)
    for text in ("logs", "logs/*/*", "logs/**/*.parquet"):
        with pytest.raises(InputError, match=r"logs/b cannot be looked into \(Permission denied\)"):
            find_table(text)


def test_a_name_that_is_no_text_is_an_error() -> None:
    Path("logs").mkdir()
    Path(os.fsdecode(b"logs/\xff.parquet")).touch()
    with pytest.raises(InputError, match="is no name in UTF-8; rename it"):
        find_table("logs")


@pytest.mark.parametrize("train", ["logs", "logs/*", "logs/*/*.parquet", "logs/**", "logs/**/*.parquet"])
def test_a_link_to_a_folder_that_is_gone_is_an_error(train: str) -> None:
    write(shop_log(), "logs/dt=2026-01-01/part.parquet")
    Path("logs/dt=2026-01-02").symlink_to("/gone/dt=2026-01-02")
    with pytest.raises(
        InputError, match=r"logs/dt=2026-01-02 is a link to nothing \(/gone/dt=2026-01-02\); mount its disk"
    ):
        find_table(train)


@pytest.mark.parametrize("train", ["logs", "logs/*", "logs/**", "logs/**/*", "logs/**/*.parquet", "logs/*/*"])
def test_a_folder_called_like_a_file_is_a_folder_however_often_a_pattern_meets_it(train: str) -> None:
    file = write(shop_log(10), "logs/dt=2026-01-01/clicks.parquet/part-0.parquet")
    assert find_table(train).files == (file,)
