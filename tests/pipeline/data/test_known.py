"""Nothing is unknown in silence: prepare counts what of each feature is unknown, unseen or always the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.errors import InputError
from pipeline.data import chunks
from pipeline.data.file_coverage import FileCoverage
from pipeline.data.notes import feature_notes, label_notes
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.runs.run import Run
from pipeline.tracking.names import result_metrics
from pipeline.training.training import train
from tests.commands import run
from tests.pipeline.small_shop import ROWS, shop_config, shop_log, write, write_config

ID = pl.col("click_id")
GAP = pl.when(ID % 3 > 0).then("price")
LOG = shop_log().with_columns(
    one=pl.lit("x"),
    gap=GAP,
    nan=GAP.fill_null(float("nan")),
    first=ID.clip(0, 1499),
    lists=pl.when(ID % 2 == 0).then(pl.lit([1, 2])).otherwise(pl.lit([], pl.List(pl.Int32))),
    slashes=pl.lit("2026/01/31 18:30:00"),
)
FEATURES = {
    "one": '{ kind = "categorical" }',
    "gap": '{ kind = "numeric", buckets = 0 }',
    "nan": '{ kind = "numeric", buckets = 4 }',
    "first": '{ kind = "categorical", min_count = 2 }',
    "lists": '{ kind = "multi_hot" }',
    "hashed": '{ kind = "categorical", column = "click_id", buckets = 50 }',
    "hour": '{ kind = "time", column = "ts", part = "hour" }',
}
NOT_EXCLUDED = {'excluded = ["click_id"]': ""}


def expected(prepared: Prepared) -> dict[str, dict[str, Any]]:
    """The counts of the features, computed in memory."""
    spec, encoder = prepared.encoder().spec, prepared.encoder()
    split_N = LOG.select(prepared.split_config.split_of(LOG.schema, holdout=False)).to_series()
    found: dict[str, dict[str, Any]] = {name: {} for name in spec.features}
    for split in ROWS:
        rows = LOG.filter(split_N == split)
        ids = encoder.encode_features(rows.lazy()).collect()
        for name in spec.features:
            counts = {
                "rows": rows.height,
                "unknown": int(rows["gap"].null_count()) if name == "gap" else 0,
                "unseen": 0,
            }
            if f"id.{name}" in ids.columns:
                highest = [max(i) if isinstance(i, list) else i for i in ids[f"id.{name}"].to_list()]
                counts |= {"unknown": highest.count(1), "unseen": highest.count(2)}
            found[name][split] = counts
    return {name: {**counts, "constant": name == "one"} for name, counts in found.items()}


@pytest.mark.parametrize("chunk_rows", [250_000, 400])
def test_every_feature_and_split_is_counted_however_rows_are_cut(
    chunk_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", chunk_rows)
    write(LOG[:1000], "logs/a.parquet")
    write(LOG[1000:], "logs/b.parquet")
    prepared = prepare(shop_config(FEATURES, NOT_EXCLUDED))
    assert prepared.features == expected(prepared)
    assert prepared.features["gap"]["train"]["unknown"] == LOG["gap"].null_count() - sum(
        prepared.features["gap"][split]["unknown"] for split in ("val", "test")
    )
    assert prepared.features["hashed"]["test"] == {"rows": 633, "unknown": 0, "unseen": 0}
    assert prepared.features["first"]["test"]["unseen"] > 200
    assert prepared.features["lists"]["val"]["unknown"] > 200


def test_prepare_says_what_there_is_to_say_and_json_has_all() -> None:
    write(LOG)
    write_config(FEATURES, NOT_EXCLUDED)
    code, out, err = run("prepare", "shop.toml")
    assert code == 0, err
    lines = out.splitlines()
    assert "gap: unknown in 33.9% of train, 32.4% of val, 32.5% of test" in lines
    assert "nan: unknown in 33.9% of train, 32.4% of val, 32.5% of test" in lines
    assert "one: one value in all training rows" in lines
    assert lines[-1] == "5 other features: known in more than 99% of the rows"
    assert not [line for line in lines if line.startswith(("price", "hour", "hashed"))]
    code, out, _ = run("prepare", "shop.toml", "--json")
    found = json.loads(out)
    assert found["features"]["gap"]["val"] == {"rows": 565, "unknown": 183, "unseen": 0}
    assert found["features"] == json.loads((Path(found["folder"]) / "manifest.json").read_text())["features"]


def test_an_interrupted_prepare_counts_the_chunks_that_were_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 400)
    write(LOG)
    config = shop_config(FEATURES, NOT_EXCLUDED)
    encode, calls = chunks._encode, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return encode(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(chunks, "_encode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(config)
    assert list(Path("prepared").glob(".*.draft/.done/*"))
    # A mark of a version without counts is not believed.
    for mark in sorted(Path("prepared").glob(".*.draft/.done/*"))[:1]:
        mark.write_text("")
    prepared = prepare(config)
    assert prepared.features == expected(prepared)


def test_days_that_are_kept_bring_their_counts() -> None:
    by_time = {
        'key = "click_id"\nvalidation = 0.2\ntest = 0.2': 'time = "ts"\nvalidation = 2026-01-05\ntest = 2026-01-06'
    }
    later = ["split.validation=2026-01-06", "split.test=2026-01-07", "data.grow=true"]
    for day in range(1, 8):
        write(LOG.filter(pl.col("ts").dt.day() == day), f"logs/dt=2026-01-0{day}/a.parquet")
    features = {"gap": FEATURES["gap"], "item_2": '{ kind = "categorical", column = "user_id" }'}
    first = prepare(shop_config(features, by_time, "data.grow=true"))
    second = prepare(shop_config(features, by_time, *later))
    assert second.manifest["grown_from"] == first.fingerprint
    before = LOG.filter(pl.col("ts").dt.day() < 6)
    assert second.features["gap"]["train"] == {
        "rows": before.height,
        "unknown": before["gap"].null_count(),
        "unseen": 0,
    }
    # Data from before there were counts: its files are not counted, and nothing is refused.
    (second.folder / "coverage.json").unlink()
    write(
        LOG.filter(pl.col("ts").dt.day() == 7).with_columns(pl.col("ts").dt.offset_by("1d")),
        "logs/dt=2026-01-08/a.parquet",
    )
    third = prepare(
        shop_config(features, by_time, "split.validation=2026-01-07", "split.test=2026-01-08", "data.grow=true")
    )
    assert third.manifest["grown_from"] == second.fingerprint
    sixth = LOG.filter(pl.col("ts").dt.day() == 6)
    assert third.features["gap"]["train"] == {"rows": sixth.height, "unknown": sixth["gap"].null_count(), "unseen": 0}


UNKNOWN = {
    "hour": ('{ kind = "time", column = "slashes", part = "hour" }', "no value that can be read"),
    "void": ('{ kind = "categorical" }', "no value that can be read"),
    "number": ('{ kind = "numeric", column = "nothing", buckets = 0 }', "no value that can be read"),
    "bucketed": ('{ kind = "numeric", column = "nothing" }', "no value that can be read"),
    "empty": ('{ kind = "multi_hot" }', "no value that can be read"),
    "pair": ('{ kind = "cross", columns = ["void", "country"], buckets = 9 }', "no value that can be read"),
    "rare": ('{ kind = "categorical", column = "click_id", min_count = 2 }', "no value that is frequent enough"),
}


def write_void() -> None:
    nothing = pl.lit(None, pl.Float64)
    write(LOG.with_columns(void=pl.lit(None, pl.String), nothing=nothing, empty=pl.lit([], pl.List(pl.Int64))))


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_feature_that_no_training_row_knows_is_refused_unless_allowed(name: str) -> None:
    write_void()
    declared, said = UNKNOWN[name]
    with pytest.raises(InputError, match=f"feature `{name}` has {said}.*`.contract. unknown_allowed`"):
        prepare(shop_config({name: declared}, NOT_EXCLUDED))
    assert not list(Path("prepared").glob("[!.]*"))
    allowed = prepare(shop_config({name: declared}, NOT_EXCLUDED, f"contract.unknown_allowed=['{name}']"))
    assert allowed.rows == ROWS
    assert f"{name}: un" in feature_notes(allowed.features)[0]


def test_all_of_them_are_named_at_once_and_a_wrong_name_is_an_error() -> None:
    write_void()
    declared = {name: text for name, (text, _) in UNKNOWN.items()}
    with pytest.raises(InputError, match=r"features tell nothing of 1802 training rows: 7 problem\(s\)"):
        prepare(shop_config(declared, NOT_EXCLUDED))
    with pytest.raises(InputError, match=r"contract\.unknown_allowed names `hours`, which is not a feature"):
        shop_config(declared, NOT_EXCLUDED, "contract.unknown_allowed=['hours']")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("contract.unique=['user_id']", "repeats"),
        ("contract.leak_auc=0.55", "features leak a label"),
        ("contract.unknown_allowed=[]", "feature `hour` has no value that can be read"),
    ],
)
def test_prepared_data_is_held_against_another_contract(override: str, said: str) -> None:
    write_void()
    allowed = "contract.unknown_allowed=['hour']"

    def config(*overrides: str) -> Any:
        return shop_config({"hour": UNKNOWN["hour"][0]}, None, allowed, *overrides)

    first = prepare(config())
    for _ in range(2):
        with pytest.raises(InputError, match=said):
            prepare(config(override))
    assert prepare(config()).folder == first.folder
    looser = config("contract.unique=['click_id']")
    assert prepare(looser).folder == first.folder
    assert first.contract == looser.contract


def test_data_of_a_version_that_noted_no_contract_is_found_as_before() -> None:
    write(LOG)
    first = prepare(shop_config())
    (first.folder / "contract.json").unlink()
    (first.folder / "coverage.json").unlink()
    assert prepare(shop_config(None, None, "contract.unique=['user_id']")).folder == first.folder
    assert FileCoverage.load(first.folder).of_split("train").rows == 0


def test_runs_have_the_counts_of_their_data_and_mlflow_their_means() -> None:
    write(LOG)
    config = shop_config({"gap": FEATURES["gap"]}, None, "train.max_steps=1")
    prepared = prepare(config)
    trained = train(config, prepared)
    assert Run.load(trained.folder).features == prepared.features
    found = {name: value for name, value, _ in result_metrics(trained) if name.startswith("data.")}
    of_test = prepared.features["gap"]["test"]
    assert found["data.unknown.test"] == pytest.approx(of_test["unknown"] / of_test["rows"] / 4)
    assert set(found) == {f"data.{kind}.{split}" for kind in ("unknown", "unseen") for split in ROWS}
    assert not [name for name, *_ in result_metrics(replace(trained, features={})) if name.startswith("data.")]


def test_few_labels_are_said() -> None:
    labels = {"buy": {"known": 600, "positives": 9}, "cart": {"known": 600, "positives": 550}}
    splits = {split: {"rows": 600, "tasks": labels} for split in ("train", "test")}
    assert label_notes(splits) == [
        "train has only 9 positives of buy: little to learn from",
        "train has only 50 negatives of cart: little to learn from",
        "test has only 9 positives of buy: its AUC there is uncertain",
        "test has only 50 negatives of cart: its AUC there is uncertain",
    ]


def test_of_very_many_features_the_worst_are_named() -> None:
    part = {"rows": 100, "unknown": 0, "unseen": 0}
    features = {f"f{n}": {"train": {**part, "unknown": n}, "test": part, "constant": False} for n in range(40)}
    lines = feature_notes(features)
    assert lines[0] == "f39: unknown in 39.0% of train"
    assert lines[20:] == [
        "19 more features have unknown or unseen values: `--json` and the manifest have all",
        "1 other feature: known in more than 99% of the rows",
    ]
    assert feature_notes({}) == []
