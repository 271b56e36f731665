"""Days that are added one by one: earlier ids keep their meaning, earlier days are not prepared again."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.transforms import FIRST_KNOWN
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.training.resolve import load_config
from tests.conftest import vocabularies
from tests.pipeline.data.growing_shop import CONFIG, config, write_day


@pytest.fixture
def first() -> Prepared:
    """Four days prepared: two train."""
    Path("shop.toml").write_text(CONFIG)
    for number in (1, 2, 3, 4):
        write_day(number)
    return prepare(config(3))


@pytest.fixture
def second(first: Prepared) -> Prepared:
    """A day later: three train."""
    write_day(5)
    return prepare(config(4))


def parts(prepared: Prepared, split: str) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in (prepared.folder / split).iterdir()}


def test_known_items_keep_their_ids(first: Prepared, second: Prepared) -> None:
    before, after = (vocabularies(p.encoder())["item"] for p in (first, second))
    assert after[: len(before)] == before
    assert len(after) > len(before)
    assert second.encoder().scales == first.encoder().scales
    assert second.manifest["grown_from"] == first.fingerprint
    assert second.rows == {"train": 180, "val": 60, "test": 60}


def test_days_that_were_trained_on_are_kept_and_others_prepared(first: Prepared, second: Prepared) -> None:
    kept = parts(first, "train")
    assert parts(second, "train").items() > kept.items()
    assert not set(parts(second, "val").values()) & set(parts(first, "test").values())


def test_new_days_are_encoded_with_what_is_known_now(second: Prepared) -> None:
    for split, day in {"val": 4, "test": 5}.items():
        raw = pl.scan_parquet(f"log/dt={date(2026, 1, day)}/*.parquet")
        expected = second.encoder().encode(raw).collect()
        found = pl.read_parquet(second.folder / split / "*.parquet")
        assert_frame_equal(found, expected)
    new = pl.read_parquet(second.folder / "train" / "part-train-00002-*.parquet")
    assert (new.get_column("id.item") >= FIRST_KNOWN).all()


def test_again_is_the_same_data(second: Prepared) -> None:
    assert prepare(config(4)).folder == second.folder


def test_a_later_period_teaches_an_earlier_one_nothing(first: Prepared) -> None:
    write_day(5)
    assert "grown_from" not in prepare(config(2)).manifest


def test_without_growth_everything_is_learnt_anew(first: Prepared) -> None:
    write_day(5)
    anew = prepare(config(4, "data.grow=false"))
    assert "grown_from" not in anew.manifest
    assert anew.encoder().scales != first.encoder().scales


def test_another_spec_is_another_beginning(first: Prepared) -> None:
    write_day(5)
    assert "grown_from" not in prepare(config(4, "spec.features.item.min_count=2")).manifest


def test_days_that_left_the_log_leave_their_ids(first: Prepared) -> None:
    write_day(5)
    Path("log/dt=2026-01-01/part-0.parquet").unlink()
    later = prepare(config(4))
    before = vocabularies(first.encoder())["item"]
    assert vocabularies(later.encoder())["item"][: len(before)] == before
    assert later.rows["train"] == 120


def test_a_changed_day_is_prepared_again(first: Prepared) -> None:
    path = Path("log/dt=2026-01-02/part-0.parquet")
    pl.read_parquet(path).with_columns(item=pl.lit("another")).write_parquet(path)
    later = prepare(config(3))
    assert "another" in vocabularies(later.encoder())["item"]
    names = [name for name, inode in parts(later, "train").items() if inode not in parts(first, "train").values()]
    assert names == ["part-train-00001-0000.parquet"]


def test_a_split_by_key_keeps_every_file(first: Prepared) -> None:
    shares = ["split.validation=0.2", "split.test=0.2"]
    text = (
        Path("shop.toml").read_text().replace('time = "at"\nvalidation = 2026-01-03\ntest = 2026-01-04', 'key = "at"')
    )
    Path("keys.toml").write_text(text)
    before = prepare(load_config(Path("keys.toml"), shares))
    write_day(5)
    after = prepare(load_config(Path("keys.toml"), shares))
    for split in ("train", "val", "test"):
        assert parts(after, split).items() > parts(before, split).items()
    anew = prepare(load_config(Path("keys.toml"), [*shares, "data.grow=false"]))
    assert vocabularies(anew.encoder()) == vocabularies(after.encoder())
