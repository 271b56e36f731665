"""`gradops score`: Parquet in, Parquet out, part by part."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from filelock import FileLock
from typer.testing import CliRunner

from features.coverage import Coverage
from jobs.cli import app
from pipeline.data import chunks
from pipeline.files.parquet import scan_folder
from pipeline.registry.packaging import fetched
from pipeline.serving import batch
from pipeline.serving.scorer import Scorer
from tests.pipeline.serving.conftest import METHODS, Models


def score(*arguments: object) -> tuple[int, str]:
    """Exit code, and everything that was printed."""
    result = CliRunner().invoke(app, ["score", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def rows(models: Models, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    """The test rows as two files of a folder, scored 150 at a time."""
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 150)
    found = models("plain").rows
    Path("in").mkdir()
    found[:200].write_parquet("in/a.parquet", row_group_size=70)
    found[200:].write_parquet("in/b.parquet")
    return found


@pytest.mark.parametrize("name", METHODS)
def test_scores_of_files_are_those_of_the_evaluation(models: Models, rows: pl.DataFrame, name: str) -> None:
    code, printed = score("--model", models(name).uri, "in", "out", "--json")
    assert code == 0
    summary = json.loads(printed[printed.index("{") :])
    assert (summary["rows"], summary["found_done"]) == (rows.height, 0)
    found = pl.read_parquet("out/part-*.parquet")
    assert found.columns == ["click", "user", "item", "viewed", "bought", "wished", "purchase", "wish"]
    assert found.get_column("user").equals(rows.get_column("user")), "whose scores they are"
    assert found.get_column("click").equals(rows.get_column("click"))
    np.testing.assert_allclose(found.select("purchase", "wish").to_numpy(), models(name).evaluated, atol=1e-6)
    assert found.schema["wish"] == pl.Float64
    assert json.loads(Path("out/score.json").read_text())["complete"]


def test_what_the_model_knows_of_the_rows_is_said(models: Models, rows: pl.DataFrame) -> None:
    lists = pl.lit(["never"]), pl.lit([1.0], pl.List(pl.Float64))
    new = pl.read_parquet("in/b.parquet").with_columns(tags=lists[0], strength=lists[1])
    new.write_parquet("in/b.parquet", row_group_size=70)
    with fetched(models("plain").uri) as folder:
        scorer = Scorer.load(folder)
    raw, encoded = scorer.rows.encoded(pl.concat([rows[:200], new]))
    expected = Coverage.of(scorer.encoder, raw, encoded).shares()
    assert expected["tags"]["unseen"] == new.height
    code, printed = score("--model", models("plain").uri, "in", "out", "--json")
    assert code == 0
    assert json.loads(printed[printed.index("{") :])["features"] == expected
    assert json.loads(Path("out/score.json").read_text())["features"] == expected
    code, printed = score("--model", models("plain").uri, "in", "out")
    share = expected["tags"]["unseen"] / rows.height
    assert f"unseen in {share:.1%} of the rows" in printed
    # A part that a version without counts wrote is not counted.
    for part in list(Path("out/.counts").iterdir())[1:]:
        part.unlink()
    code, printed = score("--model", models("plain").uri, "in", "out", "--json")
    assert json.loads(printed[printed.index("{") :])["features"]["tags"]["rows"] < rows.height


def test_an_interrupted_command_goes_on(models: Models, rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = batch.Scoring._write

    def interrupted(self: batch.Scoring, part: batch._Part) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        write(self, part)
        written.append(part.chunk.name)

    monkeypatch.setattr(batch.Scoring, "_write", interrupted)
    command = ("--model", models("plain").uri, "in/*.parquet", "out", "--keep", "click")
    code, printed = score(*command)
    assert (code, len(list(Path("out").glob("part-*")))) == (130, 2)
    assert not json.loads(Path("out/score.json").read_text())["complete"]
    monkeypatch.setattr(batch.Scoring, "_write", write)
    Path("out/.part-00001-0000.parquet.1.draft").write_text("half a file")
    before = {path.name: path.stat().st_mtime_ns for path in Path("out").glob("part-*")}
    code, printed = score(*command)
    assert code == 0
    assert "2 of them found done" in printed
    assert {name: (Path("out") / name).stat().st_mtime_ns for name in before} == before
    assert pl.read_parquet("out/*.parquet").get_column("click").equals(rows.get_column("click"))
    assert not list(Path("out").glob(".*.draft"))


def test_scores_of_something_else_are_not_mixed(models: Models, rows: pl.DataFrame) -> None:
    command = ("--model", models("plain").uri, "in", "out")
    assert score(*command)[0] == 0
    others = (
        ("--model", models("turned").uri, "in", "out"),
        (*command, "--keep", "click"),
        (*command, "--tables", "int8"),
    )
    for changed in others:
        code, printed = score(*changed)
        assert code == 2
        assert "holds scores of another command" in printed
        assert "--overwrite" in printed
    rows[200:300].write_parquet("in/b.parquet")
    assert score(*command)[0] == 2
    assert score(*command, "--overwrite")[0] == 0
    assert pl.read_parquet("out/*.parquet").height == 300
    Path("theirs").mkdir()
    Path("theirs/part-00000-0000.parquet").write_text("somebody's")
    for options in ([], ["--overwrite"]):
        code, printed = score("--model", models("plain").uri, "in", "theirs", *options)
        assert (code, "its content is not ours" in printed) == (2, True)
    assert Path("theirs/part-00000-0000.parquet").read_text() == "somebody's"


def test_an_overwrite_that_is_killed_leaves_the_folder_ours_and_no_old_scores(
    models: Models, rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (("--model", models(name).uri, "in", "out") for name in METHODS)
    assert score(*old)[0] == 0
    unlink = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path.name == "part-00001-0000.parquet":
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        assert score(*new, "--overwrite")[0] == 130
    assert not json.loads(Path("out/score.json").read_text())["complete"]
    for command in (old, new):
        code, printed = score(*command)
        assert (code, "holds scores of another command" in printed) == (2, True)
    code, printed = score(*new, "--overwrite")
    assert (code, "found done" in printed) == (0, False)


def test_one_command_at_a_time_writes_to_a_folder(models: Models, rows: pl.DataFrame) -> None:
    Path("out").mkdir()
    with FileLock("out/.lock"):
        assert score("--model", models("plain").uri, "in", "out")[0] == 4


def both(rows: pl.DataFrame) -> None:
    """Other rows in both files."""
    for name in "ab":
        rows.write_parquet(f"in/{name}.parquet")


WRONG: dict[str, tuple[Any, list[str], str]] = {
    "no file": (lambda rows: None, ["nowhere", "out"], "no Parquet file at `nowhere`"),
    "no model": (lambda rows: None, ["in", "out", "--model", "models:/nobody@champion"], "there is no model at"),
    "no version": (lambda rows: None, ["in", "out", "--model", "models:/plain/99"], "there is no model at"),
    "a folder without a model": (lambda rows: None, ["in", "out", "--model", "in"], "holds no model of ours"),
    "a scheme unheard of": (lambda rows: None, ["in", "out", "--model", "gopher://x:/y"], "there is no model at"),
    "into its source": (lambda rows: None, ["in", "in"], "holds the rows to score"),
    "a column to keep is missing": (
        lambda rows: None,
        ["in", "out", "--keep", "nothing"],
        "`nothing` of --keep is missing",
    ),
    "a task for a name": (
        lambda rows: both(rows.with_columns(wish=1)),
        ["in", "out", "--keep", "wish"],
        "has the same name as a task",
    ),
    "no Parquet": (
        lambda rows: Path("in/b.parquet").write_text("a,b"),
        ["in", "out"],
        "in/b.parquet is not a readable",
    ),
    "a pickle": (lambda rows: Path("in/b.parquet").write_bytes(b"\x80\x04."), ["in", "out"], "is not a readable"),
    "an empty file": (
        lambda rows: Path("in/b.parquet").write_bytes(b""),
        ["in", "out"],
        "in/b.parquet is not a readable",
    ),
    "half a file": (lambda rows: os.truncate("in/a.parquet", 3000), ["in", "out"], "in/a.parquet is not a readable"),
    "damaged pages": (
        lambda rows: Path("in/b.parquet").write_bytes(bytes(2000) + Path("in/b.parquet").read_bytes()[2000:]),
        ["in", "out"],
        "in/b.parquet is not a readable",
    ),
    "a folder of that name": (
        lambda rows: Path("in/c.parquet").mkdir(),
        ["in", "out"],
        "in/c.parquet is not a readable",
    ),
    "another schema": (
        lambda rows: rows.drop("viewed").write_parquet("in/b.parquet"),
        ["in", "out", "--keep", "viewed"],
        "in/b.parquet differs: `viewed` is no column, not",
    ),
    "a column missing": (
        lambda rows: both(rows.drop("item")),
        ["in", "out"],
        "`item`",
    ),
    "a wrong type": (
        lambda rows: both(rows.with_columns(price=pl.lit("x"))),
        ["in", "out"],
        "column `price` (feature `price`) holds String",
    ),
    "weights of another length": (
        lambda rows: rows.with_columns(strength=pl.lit([1.0] * 9)).write_parquet("in/b.parquet"),
        ["in", "out"],
        "in/b.parquet, rows from 0 on: cannot score",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_an_error_that_names_it(models: Models, rows: pl.DataFrame, name: str) -> None:
    spoil, arguments, message = WRONG[name]
    spoil(rows)
    given = [] if "--model" in arguments else ["--model", models("plain").uri]
    code, printed = score(*given, *arguments)
    assert code == 2, printed
    assert message in printed
    assert "Traceback" not in printed


def test_what_may_be_missing_may_be_missing_in_files(models: Models, rows: pl.DataFrame) -> None:
    for name in "ab":
        part = pl.read_parquet(f"in/{name}.parquet")
        part.drop("price").with_columns(country=None, seen=None, tags=None, strength=None).write_parquet(
            f"in/{name}.parquet"
        )
    assert score("--model", models("plain").uri, "in", "out", "--keep", "")[0] == 0
    found = pl.read_parquet("out/*.parquet")
    assert found.columns == ["purchase", "wish"]
    assert found.null_count().sum_horizontal().item() == 0


def test_files_may_lack_columns_that_the_model_does_not_read_and_have_wider_types(
    models: Models, rows: pl.DataFrame
) -> None:
    other = rows[200:].drop("viewed").with_columns(pl.col("click").cast(pl.Int32), page=pl.lit("x"))
    other.write_parquet("in/b.parquet")
    Path("in/b.parquet.old").write_bytes(Path("in/b.parquet").read_bytes())
    code, printed = score("--model", models("plain").uri, "in", "out")
    assert code == 0, printed
    assert "`click` is Int64 in 1 file(s), Int32 in 1 file(s); it is read as Int64" in printed
    assert "1 file(s) left out, as in/b.parquet.old" in printed
    found = pl.read_parquet("out/*.parquet")
    assert found.get_column("click").equals(rows.get_column("click"))
    assert found.get_column("viewed")[200:].null_count() == found.height - 200
    assert found.get_column("page")[:200].null_count() == 200
    np.testing.assert_allclose(found.select("purchase", "wish").to_numpy(), models("plain").evaluated, atol=1e-6)
    other.with_columns(click=pl.col("click").cast(pl.String)).write_parquet("in/b.parquet")
    code, printed = score("--model", models("plain").uri, "in", "other")
    assert code == 2
    assert "in/b.parquet differs: `click` is String, not Int64 as in 1 of 2 files (first in in/a.parquet)" in printed
    assert "or name the columns to keep by --keep" in printed
    assert score("--model", models("plain").uri, "in", "other", "--keep", "page")[0] == 2  # a.parquet lacks it
    assert score("--model", models("plain").uri, "in", "other", "--keep", "")[0] == 0


def test_folders_with_brackets_are_scored_and_files_twice_are_not(models: Models, rows: pl.DataFrame) -> None:
    Path("br[1]").mkdir()
    rows.write_parquet("br[1]/a[2].parquet")
    assert score("--model", models("plain").uri, "br[1]", "out[1]", "--keep", "click")[0] == 0
    assert scan_folder(Path("out[1]")).collect().height == rows.height
    Path("br[1]/b.parquet").symlink_to("a[2].parquet")
    code, printed = score("--model", models("plain").uri, "br[1]", "other")
    assert (code, "br[1]/a[2].parquet and br[1]/b.parquet are one file, by a link" in printed) == (2, True)


def test_partitions_that_the_model_reads_or_that_are_kept_are_columns(models: Models, rows: pl.DataFrame) -> None:
    for (country,), part in rows.group_by("country", maintain_order=True):
        folder = Path(f"by/country={'__HIVE_DEFAULT_PARTITION__' if country is None else country}/dt=2026-01-31")
        folder.mkdir(parents=True)
        part.drop("country").write_parquet(folder / "p.parquet")
    code, printed = score("--model", models("plain").uri, "by", "out", "--keep", "click,dt")
    assert code == 0, printed
    found = pl.read_parquet("out/*.parquet").sort("click")
    assert found.get_column("dt").unique().to_list() == ["2026-01-31"]
    expected = rows.select("click", *(pl.Series(t, models("plain").evaluated[:, n]) for n, t in enumerate(("p", "w"))))
    np.testing.assert_allclose(
        found.select("purchase", "wish").to_numpy(), expected.sort("click").select("p", "w").to_numpy(), atol=1e-6
    )
    rows.drop("country").write_parquet("by/p.parquet")
    code, printed = score("--model", models("plain").uri, "by", "other", "--keep", "")
    assert (code, "a path has no `country=...`" in printed) == (2, True)
