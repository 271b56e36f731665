"""A sample of scored rows: what is in it, what it never costs, and `gradops skew` on it."""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from features.encoder import ID
from features.errors import InputError
from features.fitting import fit
from features.spec import FeatureSpec
from jobs.cli import app
from pipeline.config.split import split_by_key
from pipeline.data.distributions import stability_index
from pipeline.data.prepared import Prepared
from pipeline.files.parquet import scan_folder
from pipeline.registry.packaging import fetched
from pipeline.serving.answers import Answers
from pipeline.serving.columns import RequestRows
from pipeline.serving.encoding import RowEncoder
from pipeline.serving.requests import Limits, read_request
from pipeline.serving.sample import live
from pipeline.serving.sample.draw import Draw
from pipeline.serving.sample.files import Sample
from pipeline.serving.sample.folder import SampleFolder, sample_files
from pipeline.serving.sample.live import LiveSample
from pipeline.serving.sample.rows import SampledRows, frame_of
from pipeline.serving.scorer import Scorer
from pipeline.skew.columns import encoded_columns
from pipeline.skew.comparison import Comparison, compare
from pipeline.skew.reference import TRAINING, Reference, distribution_of_scores
from tests.pipeline.serving.conftest import Models
from tests.pipeline.serving.model_server import records

LARGE = 1 << 30


@pytest.fixture(scope="module")
def served(models: Models) -> tuple[Scorer, Reference]:
    """The registered model, with what was registered of its training rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", models("plain").store)
        with fetched(models("plain").uri) as folder:
            scorer = Scorer.load(folder)
            return scorer, Reference.load(folder.with_name(TRAINING), scorer)


@pytest.fixture
def scorer(served: tuple[Scorer, Reference]) -> Scorer:
    return served[0]


@pytest.fixture
def reference(served: tuple[Scorer, Reference]) -> Reference:
    return served[1]


@pytest.fixture(scope="module")
def train(models: Models) -> pl.DataFrame:
    """The raw training rows."""
    raw = pl.read_parquet(models("plain").folder / "log" / "*" / "*.parquet")
    rule = split_by_key(models("plain").config.split, {"train": 0.6, "val": 0.2, "test": 0.2})
    return raw.filter(rule == "train").drop("dt", strict=False)


def prepared(models: Models) -> Prepared:
    (found,) = Prepared.all(models("plain").folder / "prepared")
    return found


def bodies(rows: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """All rows: those of a country as one user's candidates, in pieces, some of which are single rows."""
    for (country,), some in rows.partition_by("country", as_dict=True).items():
        start = 0
        for size in (1, 1, 30, 60, 10_000):
            if (piece := some[start : start + size]).height:
                columns = {
                    n: [row[n] for row in records(piece.drop("country"))] for n in piece.columns if n != "country"
                }
                yield {"shared": {"country": country}, "rows": columns}
            start += size


def sampled(scorer: Scorer, asked: Iterator[dict[str, Any]], share: float = 1.0, **arguments: Any) -> None:
    """Requests answered, and a sample of their rows in the folder `sample`."""
    sample = LiveSample(Path("sample"), share, LARGE, **arguments)
    answers = Answers(scorer, Limits(), sample)
    for body in asked:
        assert answers(json.dumps(body).encode(), "application/json").status == 200
    sample.close()


def compared(scorer: Scorer, reference: Reference) -> Comparison:
    return compare(Sample.of(Path("sample"), scorer.digest), reference, scorer.encoder.spec)


def skew(*arguments: object) -> tuple[int, str]:
    """Exit code, and everything that was printed."""
    result = CliRunner().invoke(app, ["skew", *map(str, arguments)], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def score(*arguments: object) -> None:
    result = CliRunner().invoke(app, ["score", *map(str, arguments)])
    assert result.exit_code == 0, result.output


def test_requests_are_sampled_as_training_rows_are_encoded(
    models: Models, scorer: Scorer, reference: Reference, train: pl.DataFrame
) -> None:
    sampled(scorer, bodies(train))
    found = compared(scorer, reference)
    assert found.rows == found.training_rows == train.height
    assert {one.psi for one in found.features} == {0.0}, "the same rows"
    assert all(abs(one.shift) < 1e-6 for one in found.features if one.shift is not None)
    assert all(one.null is None or one.null[0] == one.null[1] for one in found.features)
    # Row by row, whatever the order: both ways encode to the bit, so the sums of ids by row are those of training.
    own, trained = (
        rows.select(c for c in encoded_columns(scorer.encoder.spec)).collect()
        for rows in (Sample.of(Path("sample"), scorer.digest).rows(), scan_folder(prepared(models).folder / "train"))
    )
    assert own.schema == trained.schema
    by = [c for c in own.columns if not isinstance(own.schema[c], pl.List)]
    assert own.sort(by).equals(trained.sort(by))


def test_scored_files_are_sampled_the_same_way(
    models: Models, scorer: Scorer, reference: Reference, train: pl.DataFrame
) -> None:
    train.write_parquet("in.parquet")
    score("--model", models("plain").uri, "in.parquet", "out", "--sample", "sample", "--share", "1.0")
    found = compared(scorer, reference)
    assert found.requests == found.rows == train.height, "a row of a file counts as a request"
    assert {one.psi for one in found.features} == {0.0}
    written = pl.read_parquet("out/part-*.parquet").select("purchase", "wish")
    sample = Sample.of(Path("sample"), scorer.digest).rows().select("score.purchase", "score.wish").collect()
    np.testing.assert_array_equal(sample.to_numpy(), written.to_numpy())


FAULTS = {
    "price": pl.col("price") * 100,
    "user": pl.col("user").str.replace("user ", "customer-"),
    "tags (weights)": pl.col("strength").list.eval(pl.element() * 10),
    "age": pl.col("joined").dt.offset_by("-20y"),
}


OFTEN = ["price", *(pytest.param(name, marks=pytest.mark.slow) for name in FAULTS if name != "price")]


@pytest.mark.parametrize("feature", OFTEN)
def test_a_fault_of_one_feature_is_found_first(
    scorer: Scorer, reference: Reference, train: pl.DataFrame, feature: str
) -> None:
    wrong = train.with_columns(FAULTS[feature])
    sampled(scorer, ({"inputs": records(wrong[start : start + 7])} for start in range(0, wrong.height, 7)))
    first, second, *_ = compared(scorer, reference).features
    # A feature that reads the same column may follow: the cross of user and country.
    assert first.name == feature or (first.name, second.name) == ("pair", feature)
    assert first.size[0] > 0.1


@pytest.mark.slow
def test_the_command_judges(models: Models, scorer: Scorer, train: pl.DataFrame) -> None:
    uri = models("plain").uri
    sampled(scorer, ({"inputs": records(train[start : start + 3])} for start in range(0, train.height, 3)))
    code, printed = skew(uri, "sample", "--fail-above", "0.1")
    assert code == 0, printed
    assert f"{train.height:,} rows of 4" in printed
    assert "PSI: below 0.1" in printed
    wrong = train.with_columns(FAULTS["price"])
    (Path("sample")).rename("before")
    sampled(scorer, ({"inputs": records(wrong[start : start + 3])} for start in range(0, train.height, 3)))
    code, printed = skew(uri, "sample", "--fail-above", "0.1", "--json")
    assert code == 3, "as a gate that refuses"
    found = json.loads(printed[printed.index("{") :])
    assert found["above"][0] == "price"
    assert found["features"][0]["shift"] > 1
    assert {one["name"]: one["prevalence"] for one in found["scores"]} == {
        task: pytest.approx(prepared(models).prevalence(task)) for task in scorer.tasks
    }
    # Without what was registered: from the prepared data, with the same result.
    code, printed = skew(uri, "sample", "--prepared", prepared(models).folder, "--json")
    assert (code, json.loads(printed[printed.index("{") :])["features"]) == (0, found["features"])
    assert skew(uri, "sample", "--since", "2100-01-01")[0] == 2
    code, printed = skew(uri, "nowhere")
    assert (code, "holds no sample of scored rows" in printed) == (2, True)
    code, printed = skew(models("turned").uri, "sample")
    assert (code, "rows of other models only" in " ".join(printed.split())) == (2, True)


def test_a_model_from_before_says_what_it_needs(models: Models, scorer: Scorer) -> None:
    with pytest.raises(InputError, match="give --prepared"):
        Reference.load(Path("nothing"), scorer)
    Reference.of(scorer, prepared(models)).save(Path("other"), "another digest")
    with pytest.raises(InputError, match="of another model"):
        Reference.load(Path("other"), scorer)
    Path("other/columns.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read"):
        Reference.load(Path("other"), scorer)


def test_each_row_is_drawn_with_the_same_probability() -> None:
    draw, counts = Draw(0.03, np.random.default_rng(0)), np.zeros(40)
    for _ in range(20_000):
        counts[draw.places(40)] += 1
    # 600 expected of each place, with a deviation of 24: of forty places none is five of them away.
    assert abs(counts - 600).max() < 5 * math.sqrt(20_000 * 0.03 * 0.97)
    assert draw.places(0).size == 0


def test_no_request_waits_for_the_sample_or_fails_with_it(
    scorer: Scorer, train: pl.DataFrame, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full, then slow, then well again."""
    monkeypatch.setattr(live, "_WAITING_ROWS", 10)
    own, state = SampleFolder.write, {"left": 2}

    def failing(self: SampleFolder, *arguments: Any) -> None:
        if state["left"]:
            state["left"] -= 1
            raise OSError(28, "No space left on device")
        own(self, *arguments)

    monkeypatch.setattr(SampleFolder, "write", failing)
    sample = LiveSample(Path("sample"), 1.0, LARGE, file_rows=4)
    answers = Answers(scorer, Limits(), sample)
    with caplog.at_level(logging.WARNING):
        for start in range(0, 40, 4):
            body = json.dumps({"inputs": records(train[start : start + 4])}).encode()
            assert answers(body, "application/json").status == 200
            while sample.waiting:
                time.sleep(0.001)
        body = json.dumps({"inputs": records(train[:20])}).encode()
        assert answers(body, "application/json").status == 200
        sample.close()
    assert [record.message for record in caplog.records if "sample" in record.message] == [
        "the sample of rows cannot be written to sample ([Errno 28] No space left on device); rows are scored on",
        "the sample of rows is written to sample again",
    ]
    found = Sample.of(Path("sample"), scorer.digest)
    assert found.dropped == 8, "and it is known how many rows are missing"
    assert len(found.request_N) == 40 - 8 + 20


def test_rows_that_come_too_fast_are_dropped_and_counted(scorer: Scorer, train: pl.DataFrame) -> None:
    sample = LiveSample(Path("sample"), 1.0, LARGE)
    scored = scorer.request(_rows(scorer, train[:50]))
    with sample._lock:
        sample._waiting = 100_000 - 60
    sample._thread = threading.Thread(target=sample._collect)
    for _ in range(3):
        sample.offer(scorer, scored)
    sample._thread.start()
    sample.close()
    found = Sample.of(Path("sample"), scorer.digest)
    assert (len(found.request_N), found.dropped) == (50, 100)


def _rows(scorer: Scorer, rows: pl.DataFrame) -> Any:
    return read_request(json.dumps({"inputs": records(rows)}).encode(), scorer.columns, Limits()).rows


def test_the_folder_is_bounded_and_shared(tmp_path: Path) -> None:
    rows = pl.DataFrame({ID + "x": np.arange(1000)})
    folder = tmp_path / "sample"
    several = [SampleFolder.made(folder, LARGE) for _ in range(3)]
    for _ in range(2):
        for one in several:
            one.write(rows, {})
    files = sorted(folder.iterdir())
    assert len(files) == 6, "several processes in one second"
    (folder / "notes.txt").write_text("of somebody else")
    left = folder / ".rows-20200101T000000-0-000001.parquet.7.draft"
    left.touch()
    os.utime(left, (0, 0))
    size = files[0].stat().st_size
    SampleFolder.made(folder, 3 * size).write(rows, {})
    kept = {path.name for path in folder.iterdir()}
    assert len(kept) == 4, kept
    assert "notes.txt" in kept
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="no sample of rows can be written"):
        SampleFolder.made(tmp_path / "file" / "sample", LARGE)


def test_drawn_rows_keep_their_columns_whatever_the_order_of_tables() -> None:
    """Features that share a table are neighbours among the ids, though not in the spec; some columns are shared."""
    kinds = {"item": "categorical", "city": "categorical", "last": "categorical", "seen": "multi_hot"}
    features: dict[str, Any] = {name: {"kind": kind} for name, kind in kinds.items()}
    features |= {"price": {"kind": "numeric", "buckets": 0}, "age": {"kind": "numeric", "buckets": 3}}
    for name in ("item", "last", "seen"):
        features[name]["table"] = "items"
    raw: dict[str, list[Any]] = {
        "item": list("abca"),
        "city": list("xyxz"),
        "last": list("bbac"),
        "seen": [["a"], ["b", "c"], [], ["c", "a"]],
    }
    raw |= {"price": [1.0, 2.5, None, 4.0], "age": [10, 20, 30, 40]}
    spec = FeatureSpec.model_validate({"features": features, "tasks": {"y": {"positive": "y = 1"}}})
    assert spec.id_features != [name for name in spec.features if name != "price"]
    encoder = fit(spec, pl.DataFrame(raw | {"y": [0, 1, 0, 1]}).lazy())
    rows = RowEncoder(encoder)
    asked = {n: values[1:2] if n in ("city", "seen", "age") else values for n, values in raw.items()}
    encoded = rows.of_request(RequestRows(asked, 4))
    assert encoded is not None
    scores, places = np.arange(8.0).reshape(4, 2), np.array([1, 3])
    expected = encoder.encode_features(pl.DataFrame({n: (v * 4)[:4] for n, v in asked.items()}).lazy()).collect()
    for form in (encoded, rows.window_of(encoded)):
        found = frame_of([SampledRows.of(form, scores, places, spec)] * 2, spec, ["y", "z"])
        assert found.select(expected.columns).equals(pl.concat([expected[[1, 3]]] * 2))
        assert found.get_column("score.z").to_list() == [3.0, 7.0] * 2
        assert found.get_column("request").to_list() == [0, 0, 1, 1]


def test_files_of_the_user_stay_and_the_last_one_too(tmp_path: Path) -> None:
    own = tmp_path / "rows-january.parquet"
    pl.DataFrame({"x": np.arange(1000)}).write_parquet(own)
    folder = SampleFolder.made(tmp_path, 1)
    for _ in range(2):
        folder.write(pl.DataFrame({ID + "x": np.arange(1000)}), {})
    assert own.exists()
    assert len(sample_files(tmp_path)) == 1, "the bound is smaller than a file"


def test_equal_scores_stay_in_their_group_whatever_their_rounding() -> None:
    score_N = np.repeat([0.1, 0.2, 0.4], 400)
    before = distribution_of_scores(score_N)
    for off in (-1e-8, 1e-8):
        assert stability_index(before.counts(score_N + off), before.count_G) == 0
